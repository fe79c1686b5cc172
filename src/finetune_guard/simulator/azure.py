"""Azure OpenAI in the simulator: resources, and deployments that are deleted when they are not called.

Where Microsoft's documentation leaves something open, the simulator does this:

* A deployment of a fine-tuned model is deleted 15 days after its latest successful chat completions or
  responses call, or after it was deployed; a deployment of a base model stays.
* Deploying a name again restarts its 15 days, whether or not the deployment was deleted.
* A deleted deployment gets the same answer as one that never existed: 404 ``DeploymentNotFound``.
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
    """The arguments of ``SimulatedAzure.add_resource``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    api_key: str
    tokens: tuple[str, ...] = ()


class NewDeployment(BaseModel):
    """The arguments of ``SimulatedAzure.deploy``."""

    model_config = ConfigDict(extra="forbid")

    resource: _Name
    name: _Name
    model: Annotated[str, Field(min_length=1)]
    shown_as: str | None = None


class Deployment(NewDeployment):
    """A deployment, created at ``deployed_at`` by the simulated clock.

    Attributes:
        last_call: The time of its latest successful call; None if there is none.
    """

    deployed_at: datetime
    last_call: datetime | None = None

    def is_deleted(self, now: datetime) -> bool:
        """Whether it was deleted because it was not called."""
        if FineTunedModel.parse(self.model) is None:
            return False
        return now - (self.last_call or self.deployed_at) >= IDLE_WINDOW


def _azure_error(status: int, code: str, message: str) -> ApiError:
    """Return an error with Azure's wording and format."""
    error = ApiError(status, message)
    error.answer = Answer({"error": {"code": code, "message": message}}, status)
    return error


def _access_denied() -> ApiError:
    return _azure_error(
        401,
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
        "key for an active subscription and use a correct regional API endpoint for your resource.",
    )


@dataclass
class AzureProvider(Provider):
    """The state of Azure: an account for each resource, and all deployments."""

    deployments: dict[tuple[str, str], Deployment] = field(default_factory=dict)

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller with the request's key or token, from either of the two headers."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        caller = self._callers.get(headers.get("api-key") or bearer)
        if caller is None:
            raise _access_denied()
        return caller

    def find_model(self, account: Account, model_id: str, now: datetime) -> str:  # noqa: ARG002 -- overrides
        """Return the model unchanged: OpenAI's shutdown dates do not apply to Azure."""
        return model_id

    def find_deployment(self, resource: str, name: object, now: datetime) -> Deployment:
        """Return a deployment, or raise an ApiError if it was deleted or never existed."""
        found = self.deployments.get((resource, name)) if isinstance(name, str) else None
        if found is None or found.is_deleted(now):
            message = "The API deployment for this resource does not exist. If you created the deployment "
            message += "within the last 5 minutes, please wait a moment and try again."
            raise _azure_error(404, "DeploymentNotFound", message)
        return found


class SimulatedAzure:
    """The Azure side of a simulator: ``simulator.azure``. Every method is thread-safe.

    A resource is a path under the simulator's address. Clients reach it as
    ``AzureOpenAI(azure_endpoint=azure.endpoint("acme"), ...)`` or
    ``OpenAI(base_url=azure.endpoint("acme") + "/openai/v1/", ...)``.
    """

    def __init__(self, provider: AzureProvider, host: Callable[[], str]) -> None:
        self.provider = provider
        self._host = host

    def endpoint(self, resource: str) -> str:
        """Return the ``azure_endpoint`` of a client."""
        return f"http://{self._host()}/{resource}"

    def add_resource(self, name: str, *, api_key: str, tokens: Iterable[str] = ()) -> None:
        """Add a resource.

        Args:
            name: Its name, the last part of its endpoint.
            api_key: Its API key.
            tokens: Entra tokens that it accepts, too.

        Raises:
            ValueError: The name is not valid, or the key or a token is empty or already in use.
        """
        resource = AzureResource(name=name, api_key=api_key, tokens=tuple(tokens))
        with self.provider.lock:
            account = self.provider.add_account(resource.name, resource.api_key, fine_tuned_before=False)
            for token in resource.tokens:
                self.provider.add_project(account, token)

    def deploy(self, resource: str, name: str, *, model: str, shown_as: str | None = None) -> Deployment:
        """Deploy a model, under a new name or an existing one.

        Args:
            resource: The resource's name.
            name: The deployment's name.
            model: The id of the model; ``gpt-4.1-mini-2025-04-14.ft-0a1b`` is a fine-tuned one.
            shown_as: The ``model`` in answers; the model's id if omitted.

        Raises:
            ValueError: There is no such resource, or the name is not valid.
        """
        now = self.provider.clock()
        deployment = Deployment(resource=resource, name=name, model=model, shown_as=shown_as, deployed_at=now)
        with self.provider.lock:
            if resource not in self.provider.accounts:
                raise ValueError(f"no Azure resource has the name {resource!r}")
            self.provider.deployments[resource, name] = deployment
            return deployment.model_copy()

    def delete(self, resource: str, name: str) -> None:
        """Delete a deployment, if it exists."""
        with self.provider.lock:
            self.provider.deployments.pop((resource, name), None)

    def deployments(self, resource: str | None = None) -> tuple[Deployment, ...]:
        """Return the existing deployments of one resource or of all."""
        with self.provider.lock:
            now = self.provider.clock()
            return tuple(
                each.model_copy()
                for each in self.provider.deployments.values()
                if resource in {None, each.resource} and not each.is_deleted(now)
            )


def _not_found(_: Call) -> Answer:
    raise _azure_error(404, "404", "Resource not found")


def _by_deployment(endpoint: Endpoint, *, needs_version: bool) -> Endpoint:
    """Return the endpoint for calls that name a deployment instead of a model."""

    def serve(call: Call) -> Answer:
        resource = call.account.organization.slug
        if resource != call.params["resource"]:
            raise _access_denied()
        if needs_version and not call.query.get("api-version"):
            _not_found(call)
        assert isinstance(call.provider, AzureProvider)
        name = call.params.get("deployment") or required(call, "model")
        deployment = call.provider.find_deployment(resource, name, call.now)
        model = deployment.shown_as or deployment.model
        answer = endpoint(replace(call, body={**call.body, "model": model}))
        deployment.last_call = call.now
        if answer.events is None or endpoint is not chat.create:
            return answer
        # The first chunk of Azure's chat streams has the content filter's results and an empty model.
        first = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        return replace(answer, events=(event({**first, "prompt_filter_results": []}), *answer.events))

    return serve


ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    *(
        (
            "POST",
            f"/{{resource}}/openai/{path}",
            _by_deployment(endpoint, needs_version="v1/" not in path),
        )
        for path, endpoint in (
            ("deployments/{deployment}/chat/completions", chat.create),
            ("responses", responses.create),
            ("v1/chat/completions", chat.create),
            ("v1/responses", responses.create),
        )
    ),
    *((method, "/{resource}/openai/{rest:path}", _not_found) for method in ("GET", "POST", "DELETE")),
)
"""The method, path and function of each Azure endpoint."""
