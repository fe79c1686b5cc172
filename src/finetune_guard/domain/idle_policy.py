"""Providers' rules about deployments and models that nobody calls, as data, and those that ship."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from finetune_guard.domain.policy import Window, band_of
from finetune_guard.domain.text import Line
from finetune_guard.domain.values import Value

AZURE = "Azure OpenAI fine-tuned deployments"
"""The name of the rule that also holds for the SDK's Azure clients at hosts that no rule names."""

_DAY = timedelta(days=1)
_END_OF_TIME = datetime(9999, 12, 30, tzinfo=timezone.utc)
_LARGEST_WARNING, _WARNING_PART = timedelta(days=3), 5


Operation = Literal["chat.completions", "responses", "completions"]
"""The calls that can keep a deployment or a model alive."""

_Told = Annotated[Line, Field(min_length=1)]


class IdlePolicy(Value):
    """A provider's rule about what nobody calls.

    Attributes:
        name: A short name for messages; of two rules with the same name the user's own counts.
        hosts: The API hosts that it speaks of; ``*.`` at the start stands for any subdomain.
        covers: Which of those at the hosts it speaks of: those whose answers name a fine-tuned model or that
            the configuration names (``fine_tuned``), the latter only (``named``), or ``all``.
        window: How long nobody may call it.
        resets: The calls that begin the window anew.
        reversible: Whether the ``consequence`` can be undone.
        restore: How, in words; empty where nobody can.
        cost: What it costs to keep it alive, in words.
        condition: When it holds only in some cases, in words.
        source: Where it was published or seen, and ``as_of`` when that was last looked up.
    """

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    hosts: Annotated[tuple[_Told, ...], Field(min_length=1)]
    subject: Literal["deployment", "model"]
    covers: Literal["fine_tuned", "named", "all"] = "named"
    window: Window
    resets: Annotated[tuple[Operation, ...], Field(min_length=1)] = ("chat.completions", "responses")
    consequence: Literal["deleted", "stopped", "access_lost"]
    reversible: bool
    restore: Line = ""
    cost: _Told
    confidence: Literal["documented", "observed"]
    condition: Line = ""
    source: _Told
    as_of: date

    @property
    def warn_within(self) -> timedelta:
        """How long before its end something is said: the last fifth of the window, three days at most."""
        return min(_LARGEST_WARNING, self.window / _WARNING_PART)

    def ends(self, last_call: datetime, latest: datetime | None = None) -> tuple[datetime, datetime]:
        """Return the band in which what was last called at ``last_call`` ends if nobody calls it again.

        A window of whole days ends on a day whose zone nobody publishes: the band then reaches from that
        day's first moment on Earth (UTC+14) to its last (UTC-12), and begins after half of the window at the
        soonest. A shorter window ends at an instant. ``latest`` is when the last call may have been at the
        latest, where that isn't known exactly.
        """
        longest = _END_OF_TIME - self.window
        first, last = min(last_call, longest), min(max(last_call, latest or last_call), longest)
        if self.window % _DAY:
            return first + self.window, last + self.window
        soonest, day = first + self.window / 2, (first + self.window).date()
        return max(band_of(day)[0], soonest), band_of((last + self.window).date())[1]


_published = partial(IdlePolicy, confidence="documented", as_of=date(2026, 11, 25))
_BEDROCK = _published(
    name="Bedrock Legacy models",
    hosts=("*.api.aws",),
    subject="model",
    window=timedelta(days=15),
    consequence="access_lost",
    reversible=False,
    cost="The tokens of each call.",
    condition="Only models that AWS has declared Legacy.",
    source="AWS' page on the lifecycle of Bedrock's models",
)

SHIPPED: tuple[IdlePolicy, ...] = (
    _published(
        name=AZURE,
        hosts=("*.openai.azure.com", "*.services.ai.azure.com", "*.cognitiveservices.azure.com"),
        subject="deployment",
        covers="fine_tuned",
        window=timedelta(days=15),
        consequence="deleted",
        reversible=True,
        restore="The fine-tuned model stays: deploy it again in Foundry or with "
        "az cognitiveservices account deployment create.",
        cost="Azure bills a fine-tuned deployment by the hour for as long as it stands.",
        condition="A deployment of the Developer tier is deleted after 24 hours, called or not.",
        source="Microsoft's fine-tuning guide for Azure OpenAI",
    ),
    _published(
        name="Fireworks on-demand deployments",
        hosts=("api.fireworks.ai",),
        subject="deployment",
        window=timedelta(days=7),
        consequence="deleted",
        reversible=True,
        restore="Create the deployment again.",
        cost="Whatever Fireworks bills for the deployment goes on.",
        condition="Only with a minimum of 0 replicas.",
        source="Fireworks' guide to on-demand deployments",
    ),
    _published(
        name="Together dedicated endpoints v1",
        hosts=("api.together.xyz",),
        subject="deployment",
        window=timedelta(minutes=60),
        consequence="stopped",
        reversible=True,
        restore="Start the endpoint again.",
        cost="Whatever Together bills for the endpoint goes on.",
        condition="Endpoints v1 with the default setting; v1 ends with 2026.",
        source="Together's migration guide for dedicated endpoints",
    ),
    _BEDROCK,
    _BEDROCK.model_copy(
        update={
            "name": "Bedrock Legacy models, as the API says",
            "window": timedelta(days=30),
            "confidence": "observed",
            "source": "ResourceNotFoundException in public reports: not used in the last 30 days",
        }
    ),
)
"""The rules that ship with the package, the one that counts first where two speak of the same host."""


def in_force(own: tuple[IdlePolicy, ...]) -> tuple[IdlePolicy, ...]:
    """Return the user's own rules and, after them, those that ship with the package under other names."""
    names = {policy.name for policy in own}
    return (*own, *(policy for policy in SHIPPED if policy.name not in names))
