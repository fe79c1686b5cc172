"""Exit codes, and the error for a wrong set-up."""

from __future__ import annotations

import importlib.util
from enum import IntEnum

from finetune_guard.domain.verdict import Verdict


class ExitCode(IntEnum):
    """The exit codes; each command's help says what they mean for it."""

    OK = 0  # done; check: jobs can be created
    FAILURE = 1
    SETUP = 2  # a key is missing, a setting is wrong, or the command line is
    INELIGIBLE = 3  # check: no jobs can be created; keep-alive: the API has refused one
    UNKNOWN = 4  # check: whether they can, or how long a model will live, is not known
    MODEL_ENDS = 5  # the base model is gone, or its fine-tunes live too short
    INCOMPLETE = 6  # the API did not answer all that was asked; alert: something did not arrive
    NOT_JUDGED = 7  # keep-alive: the history can't be read, so that none was sent
    CLOSES_SOON = 8  # check: jobs can be created, but not for as long as is asked for
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
