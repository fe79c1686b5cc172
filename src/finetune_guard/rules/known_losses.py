"""Recognize the error responses for deployments and models that ended because nobody called them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import openai

from finetune_guard.domain.errors import (
    DeploymentGoneError,
    DeploymentScalingUpError,
    ModelAccessLostError,
    ProviderLossError,
)
from finetune_guard.domain.hosts import matches
from finetune_guard.domain.idle_policy import AZURE, SHIPPED, IdlePolicy
from finetune_guard.domain.text import one_line
from finetune_guard.rules.idle_messages import idle_rule
from finetune_guard.rules.messages import format_time

_MOST_READ = 2_000
_LONGEST_NAME = 120
_CALLED = "(deployment|endpoint|model)"
_NOT_FOUND = rf"{_CALLED}.*(not.?found|does not exist)|not.?found.*{_CALLED}"
"""Matches a 404 for a deployment at any provider, but not one for an unknown path."""


class KnownLoss(NamedTuple):
    """An error response that means a loss.

    Attributes:
        pattern: A regular expression to find in the code or message, ignoring case.
        error: The class to raise; also a subclass of the SDK's error for the status.
        happened: The first sentence of the error, with ``{name}`` for the deployment or model.
        is_verified: Whether documentation or many reports show exactly this response for this loss.
        only_if_known: Whether a name that never existed gets the same response, so that it means a loss
            only if the history knows an earlier call.
    """

    provider: str
    hosts: tuple[str, ...]
    status: int
    pattern: str
    error: type[ProviderLossError]
    happened: str
    remedy: str
    is_verified: bool
    only_if_known: bool = False


KNOWN_LOSSES = (
    KnownLoss(
        provider="Azure OpenAI",
        hosts=SHIPPED[0].hosts,
        status=404,
        pattern=r"DeploymentNotFound|deployment\b.*\bdoes not exist",
        error=DeploymentGoneError,
        happened="The deployment {name} is gone: Azure does not find it any more. Azure deletes a "
        "deployment of a fine-tuned model after 15 days without a chat completions or responses call.",
        remedy="The fine-tuned model itself stays. Deploy it again under the same name, in the portal or "
        "with az cognitiveservices account deployment create.",
        is_verified=False,
        only_if_known=True,
    ),
    KnownLoss(
        provider="Fireworks",
        hosts=("api.fireworks.ai",),
        status=503,
        pattern=r"DEPLOYMENT_SCALING_UP",
        error=DeploymentScalingUpError,
        happened="The deployment of {name} does not answer yet: Fireworks had scaled it to zero while nobody "
        "called it, and is starting it again.",
        remedy="Call again in a few minutes. To keep it running, give the deployment a minimum of one "
        "replica; that is billed as long as it runs. With a minimum of zero it is deleted after 7 days "
        "without traffic.",
        is_verified=True,
    ),
    KnownLoss(
        provider="Amazon Bedrock",
        hosts=("*.api.aws", "*.amazonaws.com"),
        status=404,
        pattern=r"not been actively using the model|marked by provider as Legacy",
        error=ModelAccessLostError,
        happened="This account has lost its access to {name}: Bedrock marks the model as Legacy, and "
        "withdraws such a model from an account that has not called it for some weeks.",
        remedy="Call another model. No way to get the access back is documented.",
        is_verified=True,
    ),
)


def losses_under(policy: IdlePolicy) -> tuple[KnownLoss, ...]:
    """Return the known losses at a host with ``policy``, which may be the user's own rule."""
    if policy.name == AZURE:
        return KNOWN_LOSSES
    own = KnownLoss(
        provider=policy.hosts[0],
        hosts=policy.hosts,
        status=404,
        pattern=_NOT_FOUND,
        error=DeploymentGoneError,
        happened="{name} is not found any more. " + idle_rule(policy).replace("{", "{{").replace("}", "}}"),
        remedy=policy.restore or "See what became of it.",
        is_verified=False,
        only_if_known=True,
    )
    return (own, *KNOWN_LOSSES)


def known_loss(
    error: openai.APIStatusError,
    *,
    host: str,
    model: str | None = None,
    last_call: datetime | None = None,
    losses: Iterable[KnownLoss] = KNOWN_LOSSES,
) -> ProviderLossError | None:
    """Return our error for ``error``; None if it is no known loss.

    With a ``last_call`` of the ``model``, ``host`` may be any host, such as a gateway: its deployments are
    recorded.
    """
    said = f"{error.code} {error.message} {error.body}"[:_MOST_READ]
    for loss in losses:
        if loss.status != error.status_code or (loss.only_if_known and last_call is None):
            continue
        is_theirs = last_call is not None or any(matches(each, host, None) for each in loss.hosts)
        if is_theirs and re.search(loss.pattern, said, re.IGNORECASE | re.DOTALL):
            return _error(loss, error, model, last_call)
    return None


def _error(
    loss: KnownLoss, error: openai.APIStatusError, model: str | None, last_call: datetime | None
) -> ProviderLossError:
    name = one_line(model, _LONGEST_NAME) if model else "the model that was called"
    last = f"was at {format_time(last_call)}" if last_call is not None else "is not known"
    doubt = f" That {loss.provider} answers so in this case is not verified: it can mean something else."
    message = (
        f"{loss.happened.format(name=name)}\n"
        f"Evidence: {loss.provider} answered {loss.status}; the last call that this history knows "
        f"{last}.{'' if loss.is_verified else doubt}\n"
        f"What to do: {loss.remedy}"
    )
    known: dict[str, Any] = {"model": model, "last_call": last_call, "is_verified": loss.is_verified}
    return loss.error(message, response=error.response, body=error.body, remedy=loss.remedy, **known)
