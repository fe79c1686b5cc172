"""How a command ends: its exit codes, and the error of a wrong set-up."""

from __future__ import annotations

import importlib.util
from enum import IntEnum

from finetune_guard.domain.verdict import Verdict


class ExitCode(IntEnum):
    """What the exit code of a command means.

    Attributes:
        OK: The command did what was asked; ``check``: jobs can be created.
        FAILURE: The command could not do that.
        SETUP: A key is missing, a setting is wrong, or the command line is.
        INELIGIBLE: ``check``: no jobs can be created; ``keep-alive``: the API has refused a job.
        UNKNOWN: ``check``: whether they can, or how long a model will live, is not known.
        MODEL_ENDS: ``check --base``: the base model is gone, or its fine-tunes live too short.
        INCOMPLETE: The API did not answer all that was asked; ``alert``: something did not arrive.
        NOT_JUDGED: ``keep-alive``: the history can't be read, so that none was sent.
        CLOSES_SOON: ``check --min-remaining``: jobs can be created, but not for that long any more.
        INTERRUPTED: Ctrl-C.
    """

    OK = 0
    FAILURE = 1
    SETUP = 2
    INELIGIBLE = 3
    UNKNOWN = 4
    MODEL_ENDS = 5
    INCOMPLETE = 6
    NOT_JUDGED = 7
    CLOSES_SOON = 8
    INTERRUPTED = 130


OF_VERDICT = {
    Verdict.ELIGIBLE: ExitCode.OK,
    Verdict.INELIGIBLE: ExitCode.INELIGIBLE,
    Verdict.UNKNOWN: ExitCode.UNKNOWN,
}


class SetupError(Exception):
    """A key or a setting is missing or wrong; the message says what to set."""


def need_extra(module: str, extra: str) -> None:
    """Raise a ``SetupError`` that names the extra, unless its package is installed."""
    if importlib.util.find_spec(module) is None:
        raise SetupError(f"This needs the extra {extra}: pip install 'finetune-guard[{extra}]'")
