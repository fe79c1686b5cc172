"""``/_simulator``: turning the clock, asking for faults and looking on, from other processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

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


async def _parsed(request: Request, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in problems)
        raise HTTPException(400, said) from error
