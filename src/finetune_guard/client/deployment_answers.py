"""What answers at hosts with an idle policy tell: which deployment answered, and which is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai

from finetune_guard.client.identities import date_of
from finetune_guard.client.log import warn_caller
from finetune_guard.client.responses import model_shown
from finetune_guard.client.streams import STREAMS, watch
from finetune_guard.client.urls import Route
from finetune_guard.domain.errors import ProviderLossError
from finetune_guard.engine.deployments import Deployments, Place
from finetune_guard.openai_api.completions import (
    StreamedCompletion,
    any_model,
    completed_by,
    fine_tune_named,
    fine_tuned_id,
)
from finetune_guard.openai_api.requests import RequestOptions, called_name


class DeploymentAnswers:
    """Sees the answers of deployments.

    Args:
        deployments: What remembers them.
        complain: Is told of failures of our own parts while a stream is read.
    """

    def __init__(self, deployments: Deployments, complain: Callable[[Exception], None]) -> None:
        self._deployments = deployments
        self._complain = complain

    def observe(
        self, place: Place, route: Route, options: RequestOptions, response: Any, value: object
    ) -> None:
        """Note what an answer tells; a body that the SDK hasn't read is not read here either."""
        if route.operation not in place.policy.resets:
            return
        named = completed_by(value)
        is_base = named is not None and fine_tune_named(named) is None
        if is_base and not place.covered and not place.any_answer_counts:
            return
        name = any_model(called_name(options, route.path))
        if name is None:
            return
        covered = self._deployments.is_covered(place, name)
        # Without a word on the model, an answer counts where the rule speaks of the deployment anyway.
        requested, recognize = ("", any_model) if covered else (None, fine_tuned_id)
        if not isinstance(value, STREAMS):
            served = recognize(named) if named else model_shown(value, response, requested, recognize)
            if served is not None:
                self._saw(place, name, response, served)
            return
        found = StreamedCompletion(requested, recognize)

        def look(event: object) -> bool:
            try:
                served = found.model_in(event)
                if served is not None:
                    self._saw(place, name, response, served)
            except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
                self._complain(error)
            return found.is_over

        watch(value, look)

    def _saw(self, place: Place, name: str, response: Any, served: str) -> None:
        warning = self._deployments.saw(place, name, served or None, date_of(response))
        if warning is not None:
            warn_caller(warning)

    def lost(
        self, place: Place, route: Route, options: RequestOptions, error: openai.APIStatusError
    ) -> ProviderLossError | None:
        """Return what an error means if it tells that a deployment is gone."""
        name = any_model(called_name(options, route.path))
        if name is None or route.operation is None:
            return None
        return self._deployments.lost(place, name, error)
