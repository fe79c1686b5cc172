"""``finetune-guard keep-alive --watch``: send keep-alives in the foreground until stopped."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import openai
import typer

from finetune_guard.cli.exits import SetupError
from finetune_guard.cli.output import say
from finetune_guard.cli.verdict import REMOVABLE, in_words, not_due
from finetune_guard.client.background.check import CheckResult, WindowCheck
from finetune_guard.client.classes import OpenAI
from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.verdict import Reason
from finetune_guard.rules.keep_alive import KeepAlive, is_over
from finetune_guard.rules.messages import describe_cause, format_time


class _StoppedError(BaseException):
    """SIGTERM or SIGINT was received; a BaseException, so that no handler swallows it."""


class Looked(NamedTuple):
    """The outcome of one check as a line, and whether everything due was sent."""

    at: datetime
    line: str
    next_in: timedelta
    is_well: bool
    is_over: bool = False
    failure: KeepAliveError | None = None


def look(client: OpenAI, check: WindowCheck, *, as_json: bool) -> Looked:
    """Send a keep-alive if one is due."""
    result = check.once(client)
    return Looked(
        result.eligibility.checked_at,
        _as_json(result) if as_json else _in_words(result, check.keep_alive),
        result.next_in,
        is_well=result.failure is None and result.eligibility.reason is not Reason.HISTORY_UNAVAILABLE,
        is_over=is_over(result.eligibility),
        failure=result.failure,
    )


def keep_looking(
    look: Callable[[], Looked], *, heartbeat: Path | None, as_json: bool, key: str = "OPENAI_API_KEY"
) -> None:
    """Call ``look`` repeatedly and print changes; return when stopped, or when nothing can help any more.

    Raises:
        SetupError: The API doesn't accept the key, or the heartbeat can't be written.
    """
    told = ""
    try:
        with _stoppable():
            _must_be_writable(heartbeat)
            while True:
                looked = look()
                if looked.is_well:
                    _beat(heartbeat)
                if looked.line != told and as_json:
                    typer.echo(looked.line)
                elif looked.line != told:
                    say(f"{format_time(looked.at)}  {looked.line}", err=not looked.is_well)
                told = looked.line
                if looked.is_over:
                    say(REMOVABLE, err=True)
                    return
                if looked.failure and isinstance(looked.failure.__cause__, openai.AuthenticationError):
                    wrong_key = f"The API does not accept {key}: nothing can be sent with it."
                    raise SetupError(f"{wrong_key} Set a key that is in force.") from looked.failure
                time.sleep(looked.next_in.total_seconds())
    except _StoppedError:
        if not as_json:
            say("Stopped.")


def _in_words(result: CheckResult, keep_alive: KeepAlive) -> str:
    eligibility, state = result.eligibility, f"Now {in_words(result.eligibility)}"
    if result.failure is not None:
        tried = [f"{model}: {why}" for model, why in result.failure.attempts.items()]
        why = f"{'; '.join(tried)}." if tried else result.failure
        return f"Failed, and is tried again: {why} {state}"
    if result.outcome is not None and result.outcome.sent:
        vain = " Another is due all the same: do the API's clock and this one differ?"
        return f"Sent: {result.outcome.model} answered. {state}{vain if result.sent_in_vain else ''}"
    if is_over(eligibility):
        return f"Ended: {describe_cause(eligibility)}, and no keep-alive can help any more."
    if eligibility.reason is Reason.HISTORY_UNAVAILABLE:
        return (
            "Not sent: the history can't be read, so that one may have been sent already. It is tried again."
        )
    if eligibility.window_closes_at is not None and eligibility.remedy is None:
        return f"Not due: {not_due(eligibility, keep_alive)}."
    return f"Not sent. {state}"


def _as_json(result: CheckResult) -> str:
    outcome, closes = result.outcome, result.eligibility.window_closes_at
    return json.dumps(
        {
            "at": result.eligibility.checked_at.isoformat(),
            "sent": result.was_sent,
            "model": outcome.model if outcome is not None else None,
            "failure": str(result.failure) if result.failure is not None else None,
            "verdict": result.eligibility.verdict.value,
            "reason": result.eligibility.reason.value,
            "window_closes_at": closes.isoformat() if closes is not None else None,
            "next_look_in": round(result.next_in / timedelta(seconds=1), 3),
        }
    )


def _must_be_writable(heartbeat: Path | None) -> None:
    existed = heartbeat is not None and heartbeat.exists()
    _beat(heartbeat)
    if heartbeat is not None and not existed:  # nothing has been looked at yet
        heartbeat.unlink()


def _beat(heartbeat: Path | None) -> None:
    try:
        if heartbeat is not None:
            heartbeat.touch()
    except OSError as error:
        raise SetupError(
            f"--heartbeat: {heartbeat} can't be written: {error.strerror or error}. A file in a folder that "
            "exists is required."
        ) from error


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the block at once, even while it waits for a response."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # it is ending already
        raise _StoppedError

    previous = {number: signal.signal(number, stop) for number in numbers}
    is_stopped = False
    try:
        yield
    except _StoppedError:
        is_stopped = True
        raise
    finally:
        for number, handler in previous.items() if not is_stopped else ():
            signal.signal(number, handler)
