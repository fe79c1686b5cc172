"""Rules about deployments and models that end when nobody calls them, including the shipped ones."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from finetune_guard.domain.policy import Window, band_of
from finetune_guard.domain.text import Line
from finetune_guard.domain.values import Value

AZURE = "Azure OpenAI fine-tuned deployments"
"""The rule that also applies to the SDK's Azure clients at hosts that no rule names."""

_DAY = timedelta(days=1)
_END_OF_TIME = datetime(9999, 12, 30, tzinfo=timezone.utc)
_LARGEST_WARNING, _WARNING_PART = timedelta(days=3), 5


Operation = Literal["chat.completions", "responses", "completions"]
"""A call that can keep a deployment or a model alive."""

_Text = Annotated[Line, Field(min_length=1)]


class IdlePolicy(Value):
    """A provider's rule about idle deployments or models.

    Attributes:
        name: A short name for messages; of two rules with the same name the user's own counts.
        hosts: The API hosts that it applies to; ``*.`` at the start stands for any subdomain.
        covers: What it applies to at these hosts: deployments whose answers name a fine-tuned model or that
            the configuration names (``fine_tuned``), only the latter (``named``), or ``all``.
        window: How long nobody may call it.
        resets: The calls that restart the window.
        reversible: Whether the ``consequence`` can be undone.
        restore: How to undo it, in words; empty if nobody can.
        cost: What keeping it alive costs, in words.
        condition: The cases in which the rule applies, in words, if not in all.
        source: Where it was published or seen; ``as_of`` is when that was last checked.
    """

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    hosts: Annotated[tuple[_Text, ...], Field(min_length=1)]
    subject: Literal["deployment", "model"]
    covers: Literal["fine_tuned", "named", "all"] = "named"
    window: Window
    resets: Annotated[tuple[Operation, ...], Field(min_length=1)] = ("chat.completions", "responses")
    consequence: Literal["deleted", "stopped", "access_lost"]
    reversible: bool
    restore: Line = ""
    cost: _Text
    confidence: Literal["documented", "observed"]
    condition: Line = ""
    source: _Text
    as_of: date

    @property
    def warn_within(self) -> timedelta:
        """How long before the end to warn: the last fifth of the window, at most three days."""
        return min(_LARGEST_WARNING, self.window / _WARNING_PART)

    def ends(self, last_call: datetime, latest: datetime | None = None) -> tuple[datetime, datetime]:
        """Return the earliest and the latest end after ``last_call``, if nobody calls again.

        A window of whole days ends on a day whose time zone is not published. The end then lies between that
        day's first moment on Earth (UTC+14), but not before half of the window, and its last (UTC-12). Any
        other window ends at one instant. ``latest`` is the latest possible time of the last call, if its time
        isn't known exactly.
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
"""The rules that ship with the package; if two apply to the same host, the first one counts."""


def in_force(own: tuple[IdlePolicy, ...]) -> tuple[IdlePolicy, ...]:
    """Return the user's own rules, then the shipped ones with other names."""
    names = {policy.name for policy in own}
    return (*own, *(policy for policy in SHIPPED if policy.name not in names))
