"""What answers at hosts with an idle policy tell: which deployment answered, and which is gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import openai

from finetune_guard.client.log import warn_caller
from finetune_guard.client.responses import date_of, model_shown
from finetune_guard.client.streams import STREAMS, watch
from finetune_guard.domain.errors import ProviderLossError
from finetune_guard.engine.deployments import Deployments, Place
from finetune_guard.openai_api.completions import (
    StreamedCompletion,
    any_model,
    completed_by,
    fine_tuned_id,
)
from finetune_guard.openai_api.requests import RequestOptions, called_name, operation_of


class DeploymentAnswers:
    """Sees the answers of deployments.

    Args:
        deployments: What remembers them.
        complain: Is told of failures of our own parts while a stream is read.
    """

    def __init__(self, deployments: Deployments, complain: Callable[[Exception], None]) -> None:
        self._deployments = deployments
        self._complain = complain

    def observe(self, place: Place, options: RequestOptions, response: Any, value: object) -> None:
        """Note what an answer tells; a body that the SDK hasn't read is not read here either."""
        named = completed_by(value)
        is_base = named is not None and fine_tuned_id(named) is None
        if is_base and not place.covered and not place.any_answer_counts:
            return
        path = response.request.url.path
        operation = operation_of(options.method, path)
        if operation is None or operation not in place.policy.resets:
            return
        name = any_model(called_name(options, path))
        if name is None:
            return
        covered = self._deployments.is_covered(place, name)
        # Without a word on the model, an answer counts where the rule speaks of the deployment anyway.
        requested, recognize = ("", any_model) if covered else (None, fine_tuned_id)
        saw = partial(self._saw, place, name, response)
        if not isinstance(value, STREAMS):
            served = model_shown(value, response, requested, recognize)
            if served is not None:
                saw(served)
            return
        found = StreamedCompletion(requested, recognize)

        def look(event: object) -> bool:
            try:
                served = found.model_in(event)
                if served is not None:
                    saw(served)
            except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
                self._complain(error)
            return found.is_over

        watch(value, look)

    def _saw(self, place: Place, name: str, response: Any, served: str) -> None:
        warning = self._deployments.saw(place, name, served or None, date_of(response))
        if warning is not None:
            warn_caller(warning)

    def lost(
        self, place: Place, options: RequestOptions, error: openai.APIStatusError
    ) -> ProviderLossError | None:
        """Return what an error means if it tells that a deployment is gone."""
        path = error.response.request.url.path
        name = any_model(called_name(options, path))
        if name is None or operation_of(options.method, path) is None:
            return None
        return self._deployments.lost(place, name, error)
