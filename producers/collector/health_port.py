"""A port that says how the collector is, in the way of the OpenTelemetry Collector's.

Source: `healthcheckextension` of opentelemetry-collector-contrib.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import orjson
from fastapi import Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runfold.producers.collector.collector import Collector
from runfold.producers.collector.standing import prometheus_answer

_PASSED_ON = frozenset({"/healthz", "/readyz"})


class HealthPort:
    """Serves `GET /` and what `standing_routes` has at one port; at others the whole application.

    `/metrics` is Prometheus' here for everybody: no client of the runs API asks at this port.

    Shape: `port` is known once somebody listens; None is no such port. A connection ends with its
    answer, so that probes hold up no drain.
    """

    def __init__(self, app: ASGIApp, collector: Collector) -> None:
        self._app = app
        self._collector = collector
        self._since = time.time()
        self.port: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        at_port = scope["type"] == "http" and self.port is not None
        if not at_port or (scope.get("server") or ("", None))[1] != self.port:
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        if scope["path"] in _PASSED_ON:
            await self._app(scope, receive, closing)
        else:
            await self._answer(scope)(scope, receive, closing)

    def _answer(self, scope: Scope) -> Response:
        if scope["path"] not in ("/", "/metrics"):
            return Response("404 page not found\n", 404, media_type="text/plain")
        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"Allow": "GET, HEAD"})
        if scope["path"] == "/metrics":
            return prometheus_answer(self._collector)
        draining = self._collector.draining.begun
        said = {
            "status": "Server not available" if draining else "Server available",
            "upSince": datetime.fromtimestamp(self._since, UTC).isoformat(),
            "uptime": "" if draining else str(timedelta(seconds=int(time.time() - self._since))),
        }
        return Response(orjson.dumps(said), 503 if draining else 200, media_type="application/json")
