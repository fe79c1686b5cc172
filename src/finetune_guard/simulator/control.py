"""``/_simulator``: turning the clock, asking for faults and looking on, from other processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from finetune_guard.simulator.azure import AzureResource, NewDeployment, SimulatedAzure
from finetune_guard.simulator.calls import CallLog
from finetune_guard.simulator.clock import SimulatedClock
from finetune_guard.simulator.faults import Fault, FaultQueue
from finetune_guard.simulator.provider import Provider
from finetune_guard.simulator.settling import settle

PREFIX = "/_simulator"
_Model = TypeVar("_Model", bound=BaseModel)


class ClockTurn(BaseModel):
    """How to turn the clock: to a time, or on by so many seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    now: AwareDatetime | None = None
    advance_seconds: float | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ClockTurn:
        if (self.now is None) == (self.advance_seconds is None):
            raise ValueError("give either now or advance_seconds")
        return self


@dataclass(frozen=True)
class Control:
    """What can be done from outside. No key is needed here, and none is shown."""

    provider: Provider
    azure: SimulatedAzure
    clock: SimulatedClock
    faults: FaultQueue
    log: CallLog

    @property
    def routes(self) -> list[Route]:
        """The routes under ``/_simulator``."""
        return [
            Route(f"{PREFIX}/health", self.health, methods=["GET"]),
            Route(f"{PREFIX}/clock", self.show_clock, methods=["GET"]),
            Route(f"{PREFIX}/clock", self.turn_clock, methods=["POST"]),
            Route(f"{PREFIX}/calls", self.show_calls, methods=["GET"]),
            Route(f"{PREFIX}/faults", self.add_fault, methods=["POST"]),
            Route(f"{PREFIX}/faults", self.clear_faults, methods=["DELETE"]),
            Route(f"{PREFIX}/organizations", self.show_organizations, methods=["GET"]),
            Route(f"{PREFIX}/azure/resources", self.add_resource, methods=["POST"]),
            Route(f"{PREFIX}/azure/deployments", self.show_deployments, methods=["GET"]),
            Route(f"{PREFIX}/azure/deployments", self.deploy, methods=["POST"]),
            Route(f"{PREFIX}/azure/deployments", self.delete_deployment, methods=["DELETE"]),
        ]

    async def health(self, _: Request) -> Response:
        """Say that the simulator answers, and what time it is there."""
        return JSONResponse({"status": "ok", "now": self.clock().isoformat()})

    async def show_clock(self, _: Request) -> Response:
        """Tell the simulated time."""
        return JSONResponse({"now": self.clock().isoformat()})

    async def turn_clock(self, request: Request) -> Response:
        """Turn the clock and tell the new time."""
        turn = await _parsed(request, ClockTurn)
        try:
            if turn.now is not None:
                self.clock.set(turn.now)
            elif turn.advance_seconds is not None:
                self.clock.advance(timedelta(seconds=turn.advance_seconds))
        except (OverflowError, ValueError) as error:
            raise HTTPException(400, "the clock can't be turned that far") from error
        return await self.show_clock(request)

    async def show_calls(self, _: Request) -> Response:
        """List the calls served so far."""
        return JSONResponse([call.model_dump(mode="json") for call in self.log.calls])

    async def add_fault(self, request: Request) -> Response:
        """Ask for something to go wrong."""
        fault = await _parsed(request, Fault)
        self.faults.add(fault)
        return JSONResponse(fault.model_dump(mode="json"), 201)

    async def clear_faults(self, _: Request) -> Response:
        """Let everything go right again."""
        self.faults.clear()
        return Response(status_code=204)

    async def show_organizations(self, _: Request) -> Response:
        """List the organizations, and what the server believes of them."""
        with self.provider.lock:
            now = self.clock()
            shown = []
            for account in self.provider.accounts.values():
                settle(self.provider, account, now)
                last = account.last_inference
                shown.append(
                    {
                        "slug": account.organization.slug,
                        "id": account.organization.id,
                        "projects": list(account.projects),
                        "has_admin_key": account.organization.admin_key is not None,
                        "models": list(account.models),
                        "fine_tuned_before": account.fine_tuned_before,
                        "last_inference": last.isoformat() if last else None,
                        "may_create_jobs": self.provider.may_create_jobs(account, now),
                    }
                )
        return JSONResponse(shown)

    async def add_resource(self, request: Request) -> Response:
        """Add a resource of Azure OpenAI."""
        asked = await _parsed(request, AzureResource)
        with _refusing():
            self.azure.add_resource(asked.name, api_key=asked.api_key, tokens=asked.tokens)
        return JSONResponse({"name": asked.name, "endpoint": self.azure.endpoint(asked.name)}, 201)

    async def show_deployments(self, _: Request) -> Response:
        """List the Azure deployments that stand."""
        return JSONResponse([each.model_dump(mode="json") for each in self.azure.deployments()])

    async def deploy(self, request: Request) -> Response:
        """Deploy a model at an Azure resource, under a new name or one that was used before."""
        asked = await _parsed(request, NewDeployment)
        with _refusing():
            made = self.azure.deploy(**asked.model_dump())
        return JSONResponse(made.model_dump(mode="json"), 201)

    async def delete_deployment(self, request: Request) -> Response:
        """Delete the Azure deployment that the query parameters ``resource`` and ``name`` name."""
        query = request.query_params
        self.azure.delete(query.get("resource", ""), query.get("name", ""))
        return Response(status_code=204)


@contextmanager
def _refusing() -> Iterator[None]:
    """Answer 400 to what can't be."""
    try:
        yield
    except ValueError as error:
        raise HTTPException(400, str(error)) from error


async def _parsed(request: Request, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in problems)
        raise HTTPException(400, said) from error
