"""Azure OpenAI in the simulator: resources, and deployments that are deleted when nobody calls them.

Where Microsoft's pages leave something open, the simulator does this:

* A deployment of a fine-tuned model is gone as soon as 15 days have passed since its latest successful chat
  completions or responses call, or since it was deployed; one of a base model stays.
* Deploying a name again begins its 15 days anew, whether it stands or is gone.
* A deployment that is gone gets the answer of one that never was: 404 ``DeploymentNotFound``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from finetune_guard.domain.idle_policy import AZURE, SHIPPED
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.simulator import chat, responses
from finetune_guard.simulator.answers import Answer, ApiError, event
from finetune_guard.simulator.inference import required
from finetune_guard.simulator.organizations import Account
from finetune_guard.simulator.provider import Call, Caller, Provider

IDLE_WINDOW = next(rule.window for rule in SHIPPED if rule.name == AZURE)

Endpoint = Callable[[Call], Answer]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class AzureResource(BaseModel):
    """A resource that is to be added, as ``SimulatedAzure.add_resource`` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    api_key: str
    tokens: tuple[str, ...] = ()


class NewDeployment(BaseModel):
    """A deployment that is to be made, as ``SimulatedAzure.deploy`` describes it."""

    model_config = ConfigDict(extra="forbid")

    resource: _Name
    name: _Name
    model: Annotated[str, Field(min_length=1)]
    shown_as: str | None = None


class Deployment(NewDeployment):
    """A deployment that was made at ``deployed_at``, by the simulated clock.

    Attributes:
        last_call: Its latest successful call; None for none.
    """

    deployed_at: datetime
    last_call: datetime | None = None

    def is_gone(self, now: datetime) -> bool:
        """Whether it was deleted for want of calls."""
        if FineTunedModel.parse(self.model) is None:
            return False
        return now - (self.last_call or self.deployed_at) >= IDLE_WINDOW


def _refusal(status: int, code: str, message: str) -> ApiError:
    """Return an error in Azure's own words and shape."""
    error = ApiError(status, message)
    error.answer = Answer({"error": {"code": code, "message": message}}, status)
    return error


def _access_denied() -> ApiError:
    return _refusal(
        401,
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
        "key for an active subscription and use a correct regional API endpoint for your resource.",
    )


@dataclass
class AzureProvider(Provider):
    """What Azure knows: an account for each resource, and the deployments of all."""

    deployments: dict[tuple[str, str], Deployment] = field(default_factory=dict)

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Return whose key or token the request carries, in either of the headers that Azure takes."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        caller = self._callers.get(headers.get("api-key") or bearer)
        if caller is None:
            raise _access_denied()
        return caller

    def find_model(self, account: Account, model_id: str, now: datetime) -> str:  # noqa: ARG002 -- the API's form
        """Return the model of a deployment as it is: OpenAI's shutdown dates mean nothing here."""
        return model_id

    def standing(self, resource: str, name: object, now: datetime) -> Deployment:
        """Return a deployment; an ApiError if it was deleted or never was."""
        found = self.deployments.get((resource, name)) if isinstance(name, str) else None
        if found is None or found.is_gone(now):
            message = "The API deployment for this resource does not exist. If you created the deployment "
            message += "within the last 5 minutes, please wait a moment and try again."
            raise _refusal(404, "DeploymentNotFound", message)
        return found


class SimulatedAzure:
    """The Azure side of a simulator: ``simulator.azure``. Every method is thread-safe.

    A resource is a path of the simulator's address. Clients reach it as
    ``AzureOpenAI(azure_endpoint=azure.endpoint("acme"), ...)`` or
    ``OpenAI(base_url=azure.endpoint("acme") + "/openai/v1/", ...)``.
    """

    def __init__(self, provider: AzureProvider, host: Callable[[], str]) -> None:
        self.provider = provider
        self._host = host

    def endpoint(self, resource: str) -> str:
        """Return what to pass to a client as ``azure_endpoint``."""
        return f"http://{self._host()}/{resource}"

    def add_resource(self, name: str, *, api_key: str, tokens: Iterable[str] = ()) -> None:
        """Add a resource.

        Args:
            name: Its name, which its endpoint ends with.
            api_key: The key that opens it.
            tokens: The Entra tokens that open it as well.

        Raises:
            ValueError: The name is none that a resource can have, or the key or a token is empty or taken.
        """
        asked = AzureResource(name=name, api_key=api_key, tokens=tuple(tokens))
        with self.provider.lock:
            account = self.provider.open_account(asked.name, asked.api_key, fine_tuned_before=False)
            for token in asked.tokens:
                self.provider.open_project(account, token)

    def deploy(self, resource: str, name: str, *, model: str, shown_as: str | None = None) -> Deployment:
        """Deploy a model, under a new name or one that was used before.

        Args:
            resource: The resource's name.
            name: The deployment's name.
            model: The id of the model; ``gpt-4.1-mini-2025-04-14.ft-0a1b`` is a fine-tuned one.
            shown_as: What the answers say in their ``model``; the model's id when left out.

        Raises:
            ValueError: There is no such resource, or the name is none that a deployment can have.
        """
        now = self.provider.clock()
        deployment = Deployment(resource=resource, name=name, model=model, shown_as=shown_as, deployed_at=now)
        with self.provider.lock:
            if resource not in self.provider.accounts:
                raise ValueError(f"no Azure resource has the name {resource!r}")
            self.provider.deployments[resource, name] = deployment
            return deployment.model_copy()

    def delete(self, resource: str, name: str) -> None:
        """Delete a deployment; one that isn't there makes no difference."""
        with self.provider.lock:
            self.provider.deployments.pop((resource, name), None)

    def deployments(self, resource: str | None = None) -> tuple[Deployment, ...]:
        """Return the deployments that stand, of one resource or of all."""
        with self.provider.lock:
            now = self.provider.clock()
            return tuple(
                each.model_copy()
                for each in self.provider.deployments.values()
                if resource in {None, each.resource} and not each.is_gone(now)
            )


def _refuse(_: Call) -> Answer:
    raise _refusal(404, "404", "Resource not found")


def _served(endpoint: Endpoint, *, needs_version: bool) -> Endpoint:
    """Return the endpoint of an API that is called by the names of deployments."""

    def serve(call: Call) -> Answer:
        resource = call.account.organization.slug
        if resource != call.params["resource"]:
            raise _access_denied()
        if needs_version and not call.query.get("api-version"):
            _refuse(call)
        assert isinstance(call.provider, AzureProvider)
        name = call.params.get("deployment") or required(call, "model")
        deployment = call.provider.standing(resource, name, call.now)
        shown = deployment.shown_as or deployment.model
        answer = endpoint(replace(call, body={**call.body, "model": shown}))
        deployment.last_call = call.now
        if answer.events is None or endpoint is not chat.create:
            return answer
        # Azure begins the stream of a chat with what its content filter has found, and names no model there.
        filtered = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        return replace(answer, events=(event({**filtered, "prompt_filter_results": []}), *answer.events))

    return serve


ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    *(
        ("POST", f"/{{resource}}/openai/{path}", _served(endpoint, needs_version="v1/" not in path))
        for path, endpoint in (
            ("deployments/{deployment}/chat/completions", chat.create),
            ("responses", responses.create),
            ("v1/chat/completions", chat.create),
            ("v1/responses", responses.create),
        )
    ),
    *((method, "/{resource}/openai/{rest:path}", _refuse) for method in ("GET", "POST", "DELETE")),
)
"""Method, path and endpoint of all that Azure answers."""
