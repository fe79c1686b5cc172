"""``/_simulator``: turning the clock, asking for faults and looking on, from other processes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from finetune_guard.simulator.calls import CallLog
from finetune_guard.simulator.clock import SimulatedClock
from finetune_guard.simulator.faults import Fault, FaultQueue
from finetune_guard.simulator.provider import Provider


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


def control_routes(
    provider: Provider, clock: SimulatedClock, faults: FaultQueue, log: CallLog
) -> list[Route]:
    """Return the routes under ``/_simulator``. They need no key, and show none."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "now": clock().isoformat()})

    async def show_clock(request: Request) -> Response:
        return JSONResponse({"now": clock().isoformat()})

    async def turn_clock(request: Request) -> Response:
        turn = await _parsed(request, ClockTurn)
        if isinstance(turn, Response):
            return turn
        if turn.now is not None:
            clock.set(turn.now)
        elif turn.advance_seconds is not None:
            clock.advance(timedelta(seconds=turn.advance_seconds))
        return await show_clock(request)

    async def show_calls(request: Request) -> Response:
        return JSONResponse([call.model_dump(mode="json") for call in log.calls])

    async def add_fault(request: Request) -> Response:
        fault = await _parsed(request, Fault)
        if isinstance(fault, Response):
            return fault
        faults.add(fault)
        return JSONResponse(fault.model_dump(mode="json"), 201)

    async def clear_faults(request: Request) -> Response:
        faults.clear()
        return Response(status_code=204)

    async def show_organizations(request: Request) -> Response:
        with provider.lock:
            now = clock()
            for account in provider.accounts.values():
                provider.finish_jobs(account, now)
            shown = [
                {
                    "slug": account.organization.slug,
                    "id": account.organization.id,
                    "models": list(account.models),
                    "fine_tuned_before": account.fine_tuned_before,
                    "last_inference": _iso(account.last_inference),
                    "may_create_jobs": provider.may_create_jobs(account, now),
                }
                for account in provider.accounts.values()
            ]
        return JSONResponse(shown)

    return [
        Route("/_simulator/health", health, methods=["GET"]),
        Route("/_simulator/clock", show_clock, methods=["GET"]),
        Route("/_simulator/clock", turn_clock, methods=["POST"]),
        Route("/_simulator/calls", show_calls, methods=["GET"]),
        Route("/_simulator/faults", add_fault, methods=["POST"]),
        Route("/_simulator/faults", clear_faults, methods=["DELETE"]),
        Route("/_simulator/organizations", show_organizations, methods=["GET"]),
    ]


async def _parsed(request: Request, model: type[Any]) -> Any:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        return JSONResponse({"error": problems}, 400)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
