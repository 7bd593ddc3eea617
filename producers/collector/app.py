"""The web application: every API of the collector under one roof."""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runfold.producers.collector.collector import Collector
from runfold.producers.collector.descriptions import describe
from runfold.producers.collector.native import native_routes
from runfold.producers.collector.otlp.http import otlp_routes
from runfold.producers.collector.standing import standing_routes

_NO_API = "other"
_MAY_ANSWER: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body or a parameter is not what this API takes; the answer names it"},
    401: {"description": "A key is needed"},
    403: {"description": "The key is unknown, revoked or expired, or does not allow this"},
    404: {"description": "There is no such thing"},
    408: {"description": "The body came too slowly"},
    413: {"description": "The body is too large, as sent or unpacked"},
    415: {"description": "The Content-Type or Content-Encoding is not known here"},
    422: {"description": "A field is not what this API takes; the answer names it"},
    429: {"description": "Too many requests with this key, or wrong keys; see Retry-After"},
    503: {"description": "Kafka or this collector is busy or away: send it again, see Retry-After"},
}
"""What any route may answer besides what it is for."""
_ENDING = Response("the collector ends: send it again", 503, {"Retry-After": "1"}, "text/plain")
"""To requests that were begun, and have not ended when the time to drain is over."""


def build_app(
    collector: Collector,
    first: Iterable[APIRouter] = (),
    *,
    alongside: Iterable[AbstractAsyncContextManager[Any]] = (),
) -> FastAPI:
    """Return the application; it owns the collector's log for its lifetime.

    Shape: the routes of `first` are asked before those of the APIs. What goes on `alongside` the
    requests is entered when the log is, and left before it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        async with AsyncExitStack() as running:
            await running.enter_async_context(collector.log)
            await running.enter_async_context(collector.others)
            for each in alongside:
                await running.enter_async_context(each)
            yield

    app = FastAPIOffline(
        title="runfold collector",
        version=importlib.metadata.version("runfold"),
        summary="Takes telemetry of agents and answers when Kafka has acknowledged it.",
        lifespan=lifespan,
        redirect_slashes=False,
        static_url="/docs-files",
        redoc_url=None,  # its page asks a host of its makers for a logo
        responses=_MAY_ANSWER,
    )
    for router in (
        *first,
        native_routes(collector),
        otlp_routes(collector),
        standing_routes(collector),
    ):
        app.include_router(router)
    describe(app)
    app.add_middleware(_Counting, collector=collector)
    return app


class _Counting:
    """Counts every request by the API that answered it."""

    def __init__(self, app: ASGIApp, collector: Collector) -> None:
        self._app = app
        self._collector = collector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if not self._collector.draining.begun or status:
                raise
            await _ENDING(scope, receive, sending)
        finally:
            self._collector.room.release(scope)
            tags = getattr(scope.get("route"), "tags", None) or [_NO_API]
            self._collector.counts.request(str(tags[0]), status or 500, time.perf_counter() - begun)
