"""Ask the API which organization credentials belong to, and which fine-tuned models they can see."""

from __future__ import annotations

from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.history import History
from finetune_guard.domain.organizations import Credentials
from finetune_guard.engine.decider import Decider
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.listing import Listing, read_listing


class Identification:
    """Asks the API once for each set of credentials, unless their organization is known."""

    def __init__(self, decider: Decider, ends: ModelEnds) -> None:
        self._recorder = decider.recorder
        self._decider = decider
        self._ends = ends
        self._is_confirmed: Bounded[Credentials, bool] = Bounded()

    def is_confirmed(self, credentials: Credentials) -> bool:
        """Whether a response to this process has named the credentials' organization and, lately, the time.

        The store may be out of date, since keys move to other organizations, and the local clock may be off.
        An error response may name the organization too, but if identifying ended with one, the API is asked
        again.
        """
        if not self._decider.has_been_answered:
            return False
        confirmed = self._is_confirmed.get(credentials)
        return self._recorder.known_organization(credentials) is not None if confirmed is None else confirmed

    def doubt(self, credentials: Credentials) -> None:
        """Have the API asked again before the next decision: it has just refused the credentials."""
        self._is_confirmed[credentials] = False

    def identify(
        self, credentials: Credentials, *, again: bool = False, confirm: bool = False
    ) -> Flow[tuple[Credentials, Listing | None]]:
        """Find out the credentials' organization and the models they can see, unless that is known already.

        With ``again`` the API is always asked, with ``confirm`` if only the store knows.

        Returns the credentials as they were sent, since a callable key is known only then, and what the API
        listed; None if it wasn't asked.
        """
        is_known = self.is_confirmed(credentials) or (
            not confirm and self._decider.organization_of(credentials) is not None
        )
        if is_known and not again:
            return credentials, None
        listing = yield from read_listing()
        if listing.reply is None:  # an error response that names the organization was recorded already
            self.doubt(credentials)
            return credentials, listing
        subject = listing.reply.subject
        if listing.failure is None:
            self._is_confirmed.pop(credentials, None)
        # What a list that failed would have shown may be what a decision needs.
        self._is_confirmed[subject.credentials] = listing.failure is None
        self._recorder.record_organization(subject)
        self.record(listing)
        return subject.credentials, listing

    def record(self, listing: Listing) -> None:
        """Record what the API listed: shutdown dates, and traces of earlier fine-tuning or their absence."""
        if listing.reply is None:
            return
        self._ends.learn(listing.announced)
        no_trace_at, traces = listing.reply.at if listing.is_empty else None, listing.traces
        if traces.evidence.fine_tuned_by is not None or no_trace_at is not None:
            evidence = traces.evidence.model_copy(update={"no_trace_at": no_trace_at})
            self._recorder.merge(listing.reply.subject, History(evidence=evidence), traces.organizations)
