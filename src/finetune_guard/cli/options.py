"""Options that several commands share."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from finetune_guard.cli.exits import SetupError
from finetune_guard.domain.validation import Duration, config_error, format_value

Deployments = Annotated[
    list[str] | None,
    typer.Option(
        "--deployment",
        metavar="NAME",
        help="Keep a deployment alive that ends when nobody calls it, such as one at Azure; it goes on "
        "being billed by the hour. May be given several times.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")]
_ASKS = (
    "Ask the API first whose the key is and what it has fine-tuned (GET /models, GET /fine_tuning/jobs). "
    "With an admin key (OPENAI_ADMIN_KEY) the organization's usage is read, too, where the verdict would not "
    "be eligible."
)
_SHOWS = "What it says of limits (GET /fine_tuning/model_limits) is shown, and decides nothing."
Refresh = Annotated[bool, typer.Option("--refresh", help=_ASKS)]
RefreshAndShowLimits = Annotated[bool, typer.Option("--refresh", help=f"{_ASKS} {_SHOWS}")]


def must_name_a_model(base: str | None) -> None:
    """Refuse an empty --base, as a variable that is not set makes it: it would match nothing."""
    if base is not None and not base.strip():
        raise SetupError(
            f"--base is {format_value(base)}: a model's id is required, such as gpt-4o-mini-2024-07-18."
        )


def duration(option: str, text: str | None) -> timedelta | None:
    """Parse a duration such as ``30d``; raise a ``GuardConfigError`` if it isn't one."""
    if text is None:
        return None
    try:
        read: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise config_error(option, error, fields={}) from None
    return read


def day_or_time(option: str, text: str | None) -> datetime | None:
    """Parse an ISO 8601 day or time, in UTC if it names no zone.

    Raises:
        SetupError: It is no time.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        raise SetupError(
            f"{option} is {format_value(text)}: a day or a time in ISO 8601 is required, such as "
            "2026-08-03 or "
            "2026-08-03T09:00Z."
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
