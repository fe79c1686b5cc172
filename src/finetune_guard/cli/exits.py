"""The exit codes of ``finetune-guard``."""

from __future__ import annotations

from enum import IntEnum

from finetune_guard.eligibility import Verdict


class ExitCode(IntEnum):
    """What a command's exit says; ``check`` uses all of them."""

    OK = 0
    FAILURE = 1
    SETUP = 2
    INELIGIBLE = 3
    UNKNOWN = 4
    INTERRUPTED = 130


OF_VERDICT = {
    Verdict.ELIGIBLE: ExitCode.OK,
    Verdict.INELIGIBLE: ExitCode.INELIGIBLE,
    Verdict.UNKNOWN: ExitCode.UNKNOWN,
}
