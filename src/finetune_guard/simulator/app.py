"""The API as an ASGI application: routes, authentication, faults, headers and the call log."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from finetune_guard.simulator import (
    azure,
    batches,
    chat,
    files,
    inference,
    jobs,
    model_list,
    responses,
    usage,
)
from finetune_guard.simulator.answers import Answer, ApiError
from finetune_guard.simulator.azure import SimulatedAzure
from finetune_guard.simulator.clock import SimulatedClock
from finetune_guard.simulator.control import PREFIX, Control, ServedCall
from finetune_guard.simulator.faults import Fault, FaultQueue
from finetune_guard.simulator.provider import Call, Caller, Provider
from finetune_guard.simulator.serving import Connections, Content, WireResponse, read
from finetune_guard.simulator.settling import settle

Endpoint = Callable[[Call], Answer]

ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v1/chat/completions", chat.create),
    ("POST", "/v1/responses", responses.create),
    ("POST", "/v1/completions", inference.complete),
    ("POST", "/v1/embeddings", inference.embed),
    ("GET", "/v1/models", model_list.list_all),
    ("GET", "/v1/models/{model:path}", model_list.retrieve),
    ("DELETE", "/v1/models/{model:path}", model_list.delete),
    ("POST", "/v1/files", files.create),
    ("GET", "/v1/files", files.list_all),
    ("GET", "/v1/files/{file}", files.retrieve),
    ("GET", "/v1/files/{file}/content", files.content),
    ("DELETE", "/v1/files/{file}", files.delete),
    ("POST", "/v1/uploads", files.create_upload),
    ("POST", "/v1/uploads/{upload}/parts", files.add_part),
    ("POST", "/v1/uploads/{upload}/complete", files.complete_upload),
    ("POST", "/v1/uploads/{upload}/cancel", files.cancel_upload),
    ("POST", "/v1/fine_tuning/jobs", jobs.create),
    ("GET", "/v1/fine_tuning/jobs", jobs.list_all),
    ("GET", "/v1/fine_tuning/model_limits", jobs.model_limits),
    ("GET", "/v1/fine_tuning/jobs/{job}", jobs.retrieve),
    ("POST", "/v1/fine_tuning/jobs/{job}/cancel", jobs.cancel),
    ("GET", "/v1/fine_tuning/jobs/{job}/events", jobs.events),
    ("GET", "/v1/fine_tuning/jobs/{job}/checkpoints", jobs.checkpoints),
    ("POST", "/v1/batches", batches.create),
    ("GET", "/v1/batches", batches.list_all),
    ("GET", "/v1/batches/{batch}", batches.retrieve),
    ("POST", "/v1/batches/{batch}/cancel", batches.cancel),
    ("GET", "/v1/organization/usage/completions", usage.completions),
)


@dataclass(frozen=True)
class RequestHandler:
    """Answers requests; ``stopping`` is set when the server stops, which ends every delay."""

    provider: Provider
    azure: SimulatedAzure
    clock: SimulatedClock
    faults: FaultQueue
    log: deque[ServedCall]
    connections: Connections
    stopping: asyncio.Event
    strip_headers: bool = False

    async def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer one request: with the next fault that fits it, or by its endpoint."""
        content = await read(request)
        path = request.scope["path"]
        requested = content.body.get("model", request.path_params.get("model"))
        model = requested if isinstance(requested, str) else None
        fault = self.faults.take(request.method, path, model)
        if fault is not None and fault.delay:
            await self._pause(fault.delay)
        now = self.clock()
        caller, answer = self._decide(request, endpoint, content, fault, now)
        self.log.append(
            ServedCall(
                method=request.method,
                path=path,
                organization=caller.account.organization.slug if caller else None,
                model=model,
                status=answer.status,
                at=now,
                stream=answer.events is not None,
            )
        )
        headers = {**self._headers(caller, now), **(fault.headers if fault else {})}
        return WireResponse(answer, headers, self.connections, fault.cut_after if fault else None)

    def _decide(
        self, request: Request, endpoint: Endpoint, content: Content, fault: Fault | None, now: datetime
    ) -> tuple[Caller | None, Answer]:
        caller = None
        with self.provider.lock:
            try:
                caller = self.provider.authenticate(request.headers)
                if fault is not None and fault.answer is not None:
                    return caller, _apply_fault(fault.answer, fault)
                if content.problem is not None:
                    raise content.problem
                project = caller.project_for(request.scope["path"])
                settle(self.provider, caller.account, now)
                request_parts = content.body, content.parts, request.path_params, request.query_params
                answer = endpoint(Call(self.provider, caller.account, project, now, *request_parts))
            except ApiError as error:
                answer = fault.answer if fault is not None and fault.answer is not None else error.answer
        return caller, _apply_fault(answer, fault) if fault is not None else answer

    def _headers(self, caller: Caller | None, now: datetime) -> dict[str, str]:
        headers = {"date": format_datetime(now, usegmt=True), "x-request-id": f"req_{secrets.token_hex(16)}"}
        if self.strip_headers:
            return headers
        headers |= {"openai-version": "2020-10-01", "openai-processing-ms": "42"}
        if caller is not None:
            headers["openai-organization"] = caller.account.organization.slug
            if caller.project is not None:
                headers["openai-project"] = caller.project
        return headers

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return


def _apply_fault(answer: Answer, fault: Fault) -> Answer:
    if fault.usage is not None and isinstance(answer.body, dict) and answer.body.get("object") == "page":
        answer = replace(answer, body=fault.usage.spoil(answer.body))
    if not fault.malformed:
        return answer
    if answer.events is not None:
        return replace(answer, events=(*answer.events[:1], b'data: {"object": "chat.comp\n\n'))
    body = next(answer.chunks())
    return replace(answer, body=None, raw=body[: len(body) // 2], made=None, kind=answer.media_type)


def build(handler: RequestHandler) -> ASGIApp:
    """Return the application."""

    def routes(handler: RequestHandler, endpoints: Iterable[tuple[str, str, Endpoint]]) -> Iterator[Route]:
        for method, path, endpoint in endpoints:
            yield Route(path, partial(handler.answer, endpoint), methods=[method])

    def raise_error(status: int, message: str, _: Call) -> Answer:
        raise ApiError(status, message)

    azure_handler = replace(handler, provider=handler.azure.provider, strip_headers=True)

    async def handle_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.scope["path"]
        if path.startswith(PREFIX):
            return JSONResponse({"error": error.detail}, error.status_code)
        is_wrong_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
        problem = "Not allowed to use this method" if is_wrong_method else "Invalid URL"
        message = f"{problem} ({request.method} {path})"
        return await handler.answer(partial(raise_error, error.status_code, message), request)

    api = Starlette(
        routes=[
            *routes(handler, ENDPOINTS),
            *Control(handler.provider, handler.azure, handler.clock, handler.faults, handler.log).routes,
            *routes(azure_handler, azure.ENDPOINTS),
        ],
        exception_handlers={HTTPException: handle_error},
    )
    api.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/") or "/"
        try:
            await api({**scope, "path": path}, receive, send)
        except ClientDisconnect:
            return  # uvicorn would log it as a bug of the application

    return app
