"""Noting what the answers to a client's calls tell; the answers themselves are never changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import openai

from finetune_guard.client.identities import Identities, date_of
from finetune_guard.client.log import FailureLog, warn_caller
from finetune_guard.client.responses import STREAMS, body_if_read, model_shown, watch
from finetune_guard.client.urls import GuardedHosts, Route, base_at
from finetune_guard.domain.errors import FineTuneGuardError, ProviderLossError
from finetune_guard.openai_api.completions import (
    StreamedCompletion,
    any_model,
    completed_by,
    ended_response,
    fine_tune_named,
    fine_tuned_id,
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
from finetune_guard.recording.notes import Subject
from finetune_guard.rules.known_losses import known_loss

if TYPE_CHECKING:
    from finetune_guard.engine.deployments import Deployments, Resource
    from finetune_guard.engine.guard import Guard

_STORED_RESPONSE = RecordsCall(RecordKind.RESPONSES)


class Answers:
    """Sees what a client and its copies are answered. No method fails for a part of ours."""

    def __init__(
        self, engine: Guard, hosts: GuardedHosts, identities: Identities, failures: FailureLog
    ) -> None:
        self._engine = engine
        self._hosts = hosts
        self._identities = identities
        self._failures = failures
        self._warns_of_all = engine.config.warn_models == "all"
        self._deployments = _DeploymentAnswers(engine.deployments, failures.add)

    def observe(self, client: Any, options: RequestOptions, response: Any, value: object) -> None:
        """Note what a successful call tells, and warn about its model if that is due.

        A body that the SDK hasn't read is not read here either.

        Args:
            client: Who has made the call.
            options: The SDK's options of the request.
            response: The response of httpx or httpx2.
            value: What the SDK made of the response, and the program gets; None where it failed.
        """
        try:
            route = self._hosts.route(client, options.method, options.url)
            if route.resource is not None:
                self._deployments.observe(route.resource, route, options, response, value)
                return
            if self._warns_of_all and route.base is not None:
                self._warn_of_base(options, value)
            if route.kind is None:
                return
            named = completed_by(value) if route.kind is InferenceCall else None
            if named is None:
                self._look_closer(client, route, options, response, value)
                return
            model = fine_tune_named(named)
            if model is not None:
                self._saw(client, route, options, response, model)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self._failures.add(error)

    def _look_closer(
        self, client: Any, route: Route, options: RequestOptions, response: Any, value: object
    ) -> None:
        """Note what an answer tells that is not simply a completion."""
        call = call_of(route.kind, options)
        if isinstance(value, STREAMS):
            self._watch(client, route, options, value, call)
        elif type(call) is InferenceCall:
            model = model_shown(value, response, call.model)
            if model is not None:
                self._saw(client, route, options, response, model)
        elif isinstance(call, (JobCreation, RecordsCall)):
            if call == _STORED_RESPONSE and model_shown(value, response, None) is None:
                return  # no fine-tuned model has given it
            self._read(client, route, options, response, call, partial(body_if_read, response))

    def failed(
        self, client: Any, options: RequestOptions, error: openai.APIStatusError
    ) -> FineTuneGuardError | None:
        """Learn whom an error was given to; return what it means if it tells that a model is gone."""
        try:
            route = self._hosts.route(client, options.method, options.url)
            if route.base is None:
                return self._lost(route, options, error)
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

    def _lost(
        self, route: Route, options: RequestOptions, error: openai.APIStatusError
    ) -> ProviderLossError | None:
        """Return what an error of another provider means if it is one of the known losses."""
        if not self._engine.config.enabled:
            return None
        if route.resource is not None:
            return self._deployments.loss_error(route.resource, route, options, error)
        url = error.response.request.url
        return known_loss(error, host=url.host, model=called_name(options, url.path))

    def identify(self, client: Any, options: RequestOptions, response: Any) -> Subject:
        """Return whom any answer of a guarded host is about, errors included, and remember it."""
        base = base_at(client, options.url)
        subject, _ = self._identities.subject(client, base, options, response, lasting=False)
        self._engine.recorder.name(subject)
        return subject

    def _warn_of_base(self, options: RequestOptions, value: object) -> None:
        """Warn if a model that is no fine-tune was called and ends soon; no body is read for it."""
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

    def _watch(
        self, client: Any, route: Route, options: RequestOptions, stream: Any, call: Call | None
    ) -> None:
        """Note what a stream tells once it does; where the guard has nothing to do it stays as it is."""
        if route.base is None or call is None:
            return
        found = StreamedCompletion(call.model if isinstance(call, InferenceCall) else None)
        response = stream.response  # the stream itself would hold itself, and its connection, by what looks

        def look(event: object) -> bool:
            try:
                if isinstance(call, RecordsCall):
                    stored = ended_response(event)
                    if stored is not None:
                        self._read(client, route, options, response, call, lambda: stored)
                    return stored is not None
                model = found.model_in(event)
                if model is not None:
                    self._saw(client, route, options, response, model)
            except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
                self._failures.add(error)
            return found.is_over

        watch(stream, look)

    def _saw(self, client: Any, route: Route, options: RequestOptions, response: Any, model: str) -> None:
        if route.base is None:
            self._hosts.tell_inactive(client, options.url)
            return
        subject, date = self._identities.subject(client, route.base, options, response, lasting=True)
        warning = self._engine.record_answer(model, subject, date)
        if warning is not None:
            warn_caller(warning)

    def _read(  # noqa: PLR0917 -- as _saw, with what it reads
        self,
        client: Any,
        route: Route,
        options: RequestOptions,
        response: Any,
        call: JobCreation | RecordsCall,
        body: Callable[[], object],
    ) -> None:
        if route.base is None:
            self._hosts.tell_inactive(client, options.url)
            return
        lasting = isinstance(call, JobCreation)
        subject, date = self._identities.subject(client, route.base, options, response, lasting=lasting)
        self._engine.observer.observe(call, subject, date, body)


class _DeploymentAnswers:
    """Sees the answers at hosts with an idle policy: which deployment answered, and which is gone.

    Args:
        deployments: What remembers them.
        complain: Is told of failures of our own parts while a stream is read.
    """

    def __init__(self, deployments: Deployments, complain: Callable[[Exception], None]) -> None:
        self._deployments = deployments
        self._complain = complain

    def observe(
        self, resource: Resource, route: Route, options: RequestOptions, response: Any, value: object
    ) -> None:
        """Note what an answer tells; a body that the SDK hasn't read is not read here either."""
        if route.operation not in resource.policy.resets:
            return
        named = completed_by(value)
        is_base = named is not None and fine_tune_named(named) is None
        if is_base and not resource.covered and not resource.any_answer_counts:
            return
        name = any_model(called_name(options, route.path))
        if name is None:
            return
        covered = self._deployments.is_covered(resource, name)
        # Without a word on the model, an answer counts where the rule speaks of the deployment anyway.
        requested, recognize = ("", any_model) if covered else (None, fine_tuned_id)
        if not isinstance(value, STREAMS):
            served = recognize(named) if named else model_shown(value, response, requested, recognize)
            if served is not None:
                self._saw(resource, name, response, served)
            return
        found = StreamedCompletion(requested, recognize)

        def look(event: object) -> bool:
            try:
                served = found.model_in(event)
                if served is not None:
                    self._saw(resource, name, response, served)
            except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
                self._complain(error)
            return found.is_over

        watch(value, look)

    def _saw(self, resource: Resource, name: str, response: Any, served: str) -> None:
        warning = self._deployments.record_answer(resource, name, served or None, date_of(response))
        if warning is not None:
            warn_caller(warning)

    def loss_error(
        self, resource: Resource, route: Route, options: RequestOptions, error: openai.APIStatusError
    ) -> ProviderLossError | None:
        """Return what an error means if it tells that a deployment is gone."""
        name = any_model(called_name(options, route.path))
        if name is None or route.operation is None:
            return None
        return self._deployments.loss_error(resource, name, error)
