"""``/_simulator``: endpoints to set the clock, add faults and list the calls from other processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from finetune_guard.simulator.azure import AzureResource, NewDeployment, SimulatedAzure
from finetune_guard.simulator.clock import SimulatedClock
from finetune_guard.simulator.faults import Fault, FaultQueue
from finetune_guard.simulator.organizations import Account
from finetune_guard.simulator.provider import Provider
from finetune_guard.simulator.settling import settle

PREFIX = "/_simulator"


class ServedCall(BaseModel):
    """One call that the simulated API has answered, without its prompt and answer.

    Attributes:
        method: The HTTP method.
        path: The path, including ``/v1``, without the query.
        organization: The slug of the organization whose key was used; None for an unknown key.
        model: The model in the request; None if it names no model.
        status: The HTTP status of the answer.
        at: The simulated time.
        stream: Whether the answer was a stream of server-sent events.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    path: str
    organization: str | None
    model: str | None
    status: int
    at: datetime
    stream: bool


class ClockChange(BaseModel):
    """A change of the clock: to a time, or by a number of seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    now: AwareDatetime | None = None
    advance_seconds: float | None = None

    @model_validator(mode="after")
    def _has_one_field(self) -> ClockChange:
        if (self.now is None) == (self.advance_seconds is None):
            raise ValueError("give either now or advance_seconds")
        return self


@dataclass(frozen=True)
class Control:
    """The endpoints under ``/_simulator``. They need no key and show none."""

    provider: Provider
    azure: SimulatedAzure
    clock: SimulatedClock
    faults: FaultQueue
    log: deque[ServedCall]

    @property
    def routes(self) -> list[Route]:
        """The routes; each operation receives the body, parsed as its model, or the query."""
        operations: tuple[tuple[str, str, int, type[BaseModel] | None, Callable[[Any], Any]], ...] = (
            ("GET", "health", 200, None, lambda _: {"status": "ok", **self._time()}),
            ("GET", "clock", 200, None, lambda _: self._time()),
            ("POST", "clock", 200, ClockChange, self._change_clock),
            ("GET", "calls", 200, None, lambda _: _as_json(*self.log.copy())),
            ("POST", "faults", 201, Fault, self._add_fault),
            ("DELETE", "faults", 204, None, lambda _: self.faults.clear()),
            ("GET", "organizations", 200, None, self._organizations),
            ("POST", "azure/resources", 201, AzureResource, self._add_resource),
            ("GET", "azure/deployments", 200, None, lambda _: _as_json(*self.azure.deployments())),
            ("POST", "azure/deployments", 201, NewDeployment, self._deploy),
            ("DELETE", "azure/deployments", 204, None, self._delete_deployment),
        )
        return [
            Route(f"{PREFIX}/{path}", partial(_respond, status, model, operation), methods=[method])
            for method, path, status, model, operation in operations
        ]

    def _time(self) -> dict[str, str]:
        return {"now": self.clock().isoformat()}

    def _change_clock(self, change: ClockChange) -> dict[str, str]:
        try:
            if change.now is not None:
                self.clock.set(change.now)
            elif change.advance_seconds is not None:
                self.clock.advance(timedelta(seconds=change.advance_seconds))
        except (OverflowError, ValueError) as error:
            raise ValueError("the clock can't be set that far") from error
        return self._time()

    def _add_fault(self, fault: Fault) -> Any:
        self.faults.add(fault)
        return _as_json(fault)[0]

    def _organizations(self, _: object) -> list[dict[str, Any]]:
        with self.provider.lock:
            now = self.clock()
            return [self._organization(account, now) for account in self.provider.accounts.values()]

    def _organization(self, account: Account, now: datetime) -> dict[str, Any]:
        settle(self.provider, account, now)
        last = account.last_inference
        return {
            "slug": account.organization.slug,
            "id": account.organization.id,
            "projects": account.projects,
            "has_admin_key": account.organization.admin_key is not None,
            "models": list(account.models),
            "fine_tuned_before": account.fine_tuned_before,
            "last_inference": last.isoformat() if last else None,
            "may_create_jobs": self.provider.may_create_jobs(account, now),
        }

    def _add_resource(self, request: AzureResource) -> dict[str, str]:
        self.azure.add_resource(**request.model_dump())
        return {"name": request.name, "endpoint": self.azure.endpoint(request.name)}

    def _deploy(self, request: NewDeployment) -> Any:
        return _as_json(self.azure.deploy(**request.model_dump()))[0]

    def _delete_deployment(self, query: Mapping[str, str]) -> None:
        self.azure.delete(query.get("resource", ""), query.get("name", ""))


def _as_json(*models: BaseModel) -> list[Any]:
    return [each.model_dump(mode="json") for each in models]


async def _respond(
    status: int, model: type[BaseModel] | None, operation: Callable[[Any], Any], request: Request
) -> Response:
    """Answer with the result of ``operation``, or with 400 if the request is not valid."""
    body = await request.body()
    try:
        result = operation(model.model_validate_json(body) if model is not None else request.query_params)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        detail = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
        raise HTTPException(400, detail) from error
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    return Response(status_code=status) if result is None else JSONResponse(result, status)
