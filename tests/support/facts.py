"""Helpers that create evidence about one organization."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from finetune_guard.domain.facts import Inference
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.rules.eligibility import decide
from tests.support.constants import FINE_TUNED

ORGANIZATION = "acme-28gund"


def ran(at: datetime, model: str = FINE_TUNED, **more: Any) -> Inference:
    """Return an inference of the organization."""
    return Inference(organization=ORGANIZATION, model=model, at=at, **more)


def known(last: datetime | None = None, **facts: Any) -> Evidence:
    """Return what is known of the organization that ran its last inference at ``last``."""
    evidence = Evidence(organization=ORGANIZATION, **facts)
    return evidence.recorded(ran(last)) if last is not None else evidence


def decided(now: datetime, last: datetime | None = None, **facts: Any) -> Eligibility:
    """Return the eligibility of that organization under OpenAI's policy."""
    return decide(OPENAI_SELF_SERVE, known(last, **facts), now)
