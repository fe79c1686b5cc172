"""Options that several commands share."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from finetune_guard.domain.validation import Duration, config_error

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
Refresh = Annotated[
    bool,
    typer.Option(
        "--refresh",
        help="Ask the API first whose the key is and what it has fine-tuned "
        "(GET /models, GET /fine_tuning/jobs), and show what it says of limits "
        "(GET /fine_tuning/model_limits), which decides nothing. With an admin key (OPENAI_ADMIN_KEY) the "
        "organization's usage is read, too, where the verdict would not be eligible.",
    ),
]


def duration(option: str, text: str | None) -> timedelta | None:
    """Return what an option such as ``30d`` means.

    Raises:
        GuardConfigError: It is no duration.
    """
    if text is None:
        return None
    try:
        read: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise config_error(option, error, fields={}) from None
    return read
