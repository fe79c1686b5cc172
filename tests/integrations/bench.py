"""The test bench for frameworks: a simulated API, guarded clients, and the counts of both sides."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

import finetune_guard
from finetune_guard import GuardConfig
from finetune_guard.simulator import Simulator

_INFERENCE_PATHS = ("/v1/chat/completions", "/v1/responses")


class Parcel(BaseModel):
    """The structured output that is asked for."""

    city: str
    days: int


@dataclass(frozen=True)
class Bench:
    """A simulated API with one fine-tuned model, and guarded clients of it that share a history."""

    simulator: Simulator
    config: GuardConfig
    model: str

    def client(self) -> finetune_guard.OpenAI:
        return finetune_guard.OpenAI(max_retries=0, guard=self.config)

    def async_client(self) -> finetune_guard.AsyncOpenAI:
        return finetune_guard.AsyncOpenAI(max_retries=0, guard=self.config)

    @property
    def served(self) -> int:
        """How many inferences on the fine-tuned model the server has answered."""
        return sum(
            call.path in _INFERENCE_PATHS and call.model == self.model and call.status == 200
            for call in self.simulator.calls
        )

    @property
    def remembered(self) -> int:
        """How many of them are in the history, whichever client they went through."""
        history = self.client().guard.history()
        return sum(count for sources in history.daily.values() for count in sources.values())

    @property
    def last(self) -> str | None:
        """The model of the latest inference in the history."""
        latest = self.client().guard.history().last_inference
        return latest.model if latest is not None else None
