"""Records facts from the responses to a client's calls, and never changes a response."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import openai

from finetune_guard.client.identities import Identities, date_header
from finetune_guard.client.responses import STREAMS, body_if_read, model_in_response, watch_events
from finetune_guard.client.urls import GuardedHosts, Route, api_base
from finetune_guard.domain.errors import FineTuneGuardError, ProviderLossError
from finetune_guard.domain.organizations import Subject
from finetune_guard.logs import OnceLog, warn_caller
from finetune_guard.openai_api.completions import (
    StreamedCompletion,
    completed_model,
    ended_response,
    fine_tuned_id,
    parse_fine_tune,
    valid_model_name,
)
from finetune_guard.openai_api.requests import (
    Call,
    InferenceCall,
    JobCreation,
    RecordKind,
    RecordsCall,
    RequestOptions,
    base_model_called,
    call_of,
    called_name,
    classify,
)
from finetune_guard.rules.known_losses import known_loss

if TYPE_CHECKING:
    from finetune_guard.engine.deployments import Resource
    from finetune_guard.engine.guard import Guard

_STORED_RESPONSE = RecordsCall(RecordKind.RESPONSES)


class Answers:
    """Records the responses that a client and its copies get. An error of our own never reaches the user."""

    def __init__(self, engine: Guard, hosts: GuardedHosts, identities: Identities, failures: OnceLog) -> None:
        self._engine = engine
        self._hosts = hosts
        self._identities = identities
        self._failures = failures
        self._warns_about_all_models = engine.config.warn_models == "all"

    def observe(self, client: Any, options: RequestOptions, response: Any, value: object) -> None:
        """Record what a successful response says, and warn about its model if a warning is due.

        A body that the SDK hasn't read is not read here either.

        Args:
            client: The client that made the call.
            options: The SDK's options of the request.
            response: The response of httpx or httpx2.
            value: The SDK's result, which the program gets; None if the SDK failed to make one.
        """
        try:
            route = self._hosts.route(client, options.method, options.url)
            if route.resource is not None:
                self._observe_deployment(route.resource, route, options, response, value)
                return
            if self._warns_about_all_models and route.base is not None:
                self._warn_about_base_model(options, value)
            if route.kind is None:
                return
            named = completed_model(value) if route.kind is InferenceCall else None
            if named is None:
                self._observe_other(client, route, options, response, value)
                return
            model = parse_fine_tune(named)
            if model is None:
                return
            if route.base is None:
                self._hosts.log_inactive(client, options.url)
                return
            # _record inlined, for speed
            subject, date = self._identities.subject(client, route.base, options, response, lasting=True)
            warning = self._engine.record_answer(model, subject, date)
            if warning is not None:
                warn_caller(warning)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self._failures.add(error)

    def _observe_other(
        self, client: Any, route: Route, options: RequestOptions, response: Any, value: object
    ) -> None:
        """Record a response that is not a plain completion."""
        call = call_of(route.kind, options)
        if isinstance(value, STREAMS):
            self._watch_stream(client, route, options, value, call)
        elif type(call) is InferenceCall:
            model = model_in_response(value, response, call.model)
            if model is not None:
                self._record(client, route, options, response, model)
        elif isinstance(call, (JobCreation, RecordsCall)):
            if call == _STORED_RESPONSE and model_in_response(value, response, None) is None:
                return  # no fine-tuned model ran
            self._observe_record(client, route, options, response, call, partial(body_if_read, response))

    def explain_error(
        self, client: Any, options: RequestOptions, error: openai.APIStatusError
    ) -> FineTuneGuardError | None:
        """Record who got an error; return the error to raise instead if a model is gone."""
        try:
            route = self._hosts.route(client, options.method, options.url)
            if route.base is None:
                return self._loss_error(route, options, error)
            subject = self.identify(client, options, error.response)
            if isinstance(error, openai.AuthenticationError):
                self._engine.identification.doubt(subject.credentials)
            decider = self._engine.decider
            decider.answered_at(error.response.headers.get("date"))
            call = classify(options)
            called = call.model if isinstance(call, InferenceCall) else None
            if isinstance(error, openai.NotFoundError) and called is not None:
                return self._engine.ends.shutdown_error(error, called, decider.now())
        except Exception as failure:  # noqa: BLE001 -- our failure must not be the user's
            self._failures.add(failure)
        return None

    def _loss_error(
        self, route: Route, options: RequestOptions, error: openai.APIStatusError
    ) -> ProviderLossError | None:
        """Return the error to raise if another provider says that a model is gone."""
        if not self._engine.config.enabled:
            return None
        if route.resource is not None:
            name = valid_model_name(called_name(options, route.path))
            if name is None or route.operation is None:
                return None
            return route.resource.loss_error(name, error)
        url = error.response.request.url
        return known_loss(error, host=url.host, model=called_name(options, url.path))

    def identify(self, client: Any, options: RequestOptions, response: Any) -> Subject:
        """Record and return the subject of a guarded host's response, which may be an error."""
        base = api_base(client, options.url)
        subject, _ = self._identities.subject(client, base, options, response, lasting=False)
        self._engine.recorder.record_organization(subject)
        return subject

    def _warn_about_base_model(self, options: RequestOptions, value: object) -> None:
        """Warn if a base model was called that shuts down soon; never reads a body."""
        requested = base_model_called(options)
        if requested is None:
            return
        served = getattr(value, "model", None)
        now = self._engine.decider.now()
        warning = self._engine.sunset_warning(
            requested, now, served=served if isinstance(served, str) else None
        )
        if warning is not None:
            warn_caller(warning)

    def _watch_stream(
        self, client: Any, route: Route, options: RequestOptions, stream: Any, call: Call | None
    ) -> None:
        """Record facts from a stream's events; leave the stream alone if it has none to record."""
        if route.base is None or call is None:
            return
        response = stream.response  # a callback that held the stream would keep its connection open
        if not isinstance(call, RecordsCall):
            completion = StreamedCompletion(call.model if isinstance(call, InferenceCall) else None)
            self._watch(stream, completion, partial(self._record, client, route, options, response))
            return

        def see_event(event: object) -> bool:
            stored = ended_response(event)
            try:
                if stored is not None:
                    self._observe_record(client, route, options, response, call, lambda: stored)
            except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
                self._failures.add(error)
            return stored is not None

        watch_events(stream, see_event)

    def _watch(self, stream: Any, completion: StreamedCompletion, record: Callable[[str], object]) -> None:
        def see_event(event: object) -> bool:
            try:
                model = completion.model_in(event)
                if model is not None:
                    record(model)
            except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
                self._failures.add(error)
            return completion.is_over

        watch_events(stream, see_event)

    def _record(self, client: Any, route: Route, options: RequestOptions, response: Any, model: str) -> None:
        if route.base is None:
            self._hosts.log_inactive(client, options.url)
            return
        subject, date = self._identities.subject(client, route.base, options, response, lasting=True)
        warning = self._engine.record_answer(model, subject, date)
        if warning is not None:
            warn_caller(warning)

    def _observe_record(  # noqa: PLR0917 -- as _record, with the body
        self,
        client: Any,
        route: Route,
        options: RequestOptions,
        response: Any,
        call: JobCreation | RecordsCall,
        body: Callable[[], object],
    ) -> None:
        if route.base is None:
            self._hosts.log_inactive(client, options.url)
            return
        lasting = isinstance(call, JobCreation)
        subject, date = self._identities.subject(client, route.base, options, response, lasting=lasting)
        self._engine.observer.observe(call, subject, date, body)

    def _observe_deployment(
        self, resource: Resource, route: Route, options: RequestOptions, response: Any, value: object
    ) -> None:
        """Record a response of a deployment, at a host with an idle policy."""
        if route.operation not in resource.policy.resets:
            return
        named = completed_model(value)
        is_base = named is not None and parse_fine_tune(named) is None
        if is_base and not resource.covered and not resource.any_answer_counts:
            return
        name = valid_model_name(called_name(options, route.path))
        if name is None:
            return
        covered = resource.is_covered(name)
        # A response that names no model counts if the rule applies to the deployment.
        requested, recognize = ("", valid_model_name) if covered else (None, fine_tuned_id)
        if not isinstance(value, STREAMS):
            served = recognize(named) if named else model_in_response(value, response, requested, recognize)
            if served is not None:
                _record_deployment(resource, name, response, served)
            return
        record = partial(_record_deployment, resource, name, response)
        self._watch(value, StreamedCompletion(requested, recognize), record)


def _record_deployment(resource: Resource, name: str, response: Any, served: str) -> None:
    warning = resource.record_answer(name, served or None, date_header(response))
    if warning is not None:
        warn_caller(warning)
