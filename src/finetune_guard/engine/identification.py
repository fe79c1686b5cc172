"""Learning whose credentials they are, and which fine-tuned models they can see, from the API."""

from __future__ import annotations

import logging

import openai

from finetune_guard.domain.organizations import Credentials
from finetune_guard.engine.decider import Decider
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.discovery import Discovery, discover
from finetune_guard.openai_api.errors import in_short, is_wrong_key
from finetune_guard.openai_api.flow import Flow
from finetune_guard.recording.notes import Subject, told
from finetune_guard.recording.recorder import Recorder
from finetune_guard.rules.inventory import Visible

logger = logging.getLogger("finetune_guard")

_MOST_ASKED = 1_000


class Identification:
    """Asks the API once for each credentials, unless their organization is known already."""

    def __init__(self, recorder: Recorder, decider: Decider, ends: ModelEnds) -> None:
        self._recorder = recorder
        self._decider = decider
        self._ends = ends
        self._asked: set[Credentials] = set()

    def identify(
        self, credentials: Credentials, *, again: bool, wrong_key_ends_it: bool = False
    ) -> Flow[Credentials]:
        """Learn whose the credentials are, and what they can see, unless that is known already.

        Returns the credentials as they were really sent: a callable key is known only then.

        Raises:
            openai.AuthenticationError: The API doesn't know the key, and ``wrong_key_ends_it``: the
                user's own call can only end so too.
        """
        if not again and (
            credentials in self._asked or self._decider.organization_of(credentials) is not None
        ):
            return credentials
        found = yield from discover()
        if wrong_key_ends_it and isinstance(found.failure, openai.APIError) and is_wrong_key(found.failure):
            raise found.failure
        if found.reply is None:
            if again and found.failure is not None:
                logger.warning(
                    "The API did not answer (%s); what is said rests on the history alone.",
                    in_short(found.failure),
                )
            return credentials
        subject = Subject(found.reply.organization, found.reply.credentials)
        if len(self._asked) >= _MOST_ASKED:
            self._asked.clear()
        self._asked.add(subject.credentials)
        self._recorder.name(subject)
        remember_traces(self._recorder, found)
        self._ends.learn(found.announced)
        return subject.credentials


def remember_traces(recorder: Recorder, found: Discovery | Visible) -> None:
    """Remember what the API told about earlier fine-tuning: a trace of it, or that there is none."""
    if found.reply is None:
        return
    no_trace_at = found.reply.at if found.is_empty else None
    if found.fine_tuned_by is not None or no_trace_at is not None:
        subject = Subject(found.reply.organization, found.reply.credentials)
        recorder.learn(subject, told(fine_tuned_by=found.fine_tuned_by, no_trace_at=no_trace_at))
