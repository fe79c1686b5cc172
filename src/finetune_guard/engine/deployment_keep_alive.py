"""One keep-alive for a deployment and a window, however many threads and processes want it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import openai

from finetune_guard.domain.errors import KeepAliveError, StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.hosts import resource_of
from finetune_guard.domain.idle_policy import Operation
from finetune_guard.engine.deployments import Deployments, Place
from finetune_guard.engine.one_sender import OneSender, Turn
from finetune_guard.openai_api.completions import any_model, completing_model
from finetune_guard.openai_api.listing import Listing
from finetune_guard.rules.deployments import reason_not_to_keep
from finetune_guard.rules.keep_alive import NotSent
from finetune_guard.rules.keep_alive_attempts import Attempts, Sent, shows_any_completion, smallest_call_of


@dataclass(frozen=True)
class DeploymentSender(OneSender):
    """Sends the keep-alives of one deployment, never two at once.

    Attributes:
        deployments: What remembers deployments.
        place: The resource.
        name: The deployment.
        at: Where the API is, for a client whose base URL names another deployment; None for the client's own.
        force: Whether one is sent although it isn't due.
    """

    deployments: Deployments
    place: Place
    name: str
    at: str | None = None
    force: bool = False

    def _lease(self) -> str:
        return f"keep-alive/{self.place.history}/{self.name}"

    def reason_not_to(self) -> NotSent | None:
        """Return why none is to be sent by what is known now; None when one is."""
        if self.force:
            return None
        try:
            deployment = self.deployments.known(self.place, self.name)
        except StoreError:
            return NotSent.HISTORY_UNAVAILABLE
        return reason_not_to_keep(self.keep_alive, deployment, self.decider.now())

    def _attempts(self, turn: Turn, model: str | None, listing: Listing | None) -> Attempts:
        del model, listing
        resets = self.place.policy.resets
        chat = Operation.CHAT_COMPLETIONS
        call = smallest_call_of(chat if chat in resets else resets[0], self.at)
        return Attempts([self.name], turn.left, call=call, is_answered=shows_any_completion)

    def _record(self, sent: Sent, at: datetime) -> str:
        served = completing_model(sent.reply.body, "", any_model) or None
        self.recorder.record(self.place.subject, self.name, Source.KEEP_ALIVE, at, served)
        self.deployments.called(self.place, self.name, at)
        return resource_of(self.place.history)

    def _failed(self, error: KeepAliveError) -> str:
        if isinstance(error.__cause__, openai.NotFoundError):  # else it would be tried again every hour
            self.deployments.not_found(self.place, self.name, self.decider.now())
        return resource_of(self.place.history)
