"""Whether the collector lives, can take events, and what it has counted."""

from __future__ import annotations

import os

import orjson
from fastapi import APIRouter, Request, Response

from runfold.producers.collector.collector import Collector
from runfold.schemas.errors import BrokerUnavailable

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def standing_routes(collector: Collector) -> APIRouter:
    """Return `/healthz`, `/readyz` and `/metrics` in Prometheus' format."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Response:
        return _json(200, {"pid": os.getpid()})

    @router.get("/readyz", summary="Whether events can be taken")
    async def readyz() -> Response:
        if collector.draining.begun:
            return _not_ready("draining", "it finishes what was begun, and ends")
        try:
            await collector.log.connect()
        except BrokerUnavailable as error:
            return _not_ready(error.code, str(error))
        return _json(200, {"ready": True, "reasons": []})

    @router.get("/metrics", summary="Counts for Prometheus")
    async def metrics(request: Request) -> Response:
        del request
        return prometheus_answer(collector)

    return router


def _not_ready(reason: str, message: str) -> Response:
    reasons = [{"reason": reason, "message": message}]
    return _json(503, {"ready": False, "reasons": reasons})


def prometheus_answer(collector: Collector) -> Response:
    """Return what the collector has counted, in Prometheus' text format."""
    collector.counts.waiting_bytes.set(collector.log.waiting_bytes)
    return Response(collector.counts.render(), headers={"Content-Type": _TEXT_FORMAT})


def wants_prometheus(request: Request) -> bool:
    """Say whether Prometheus asks, or whoever accepts nothing but its formats."""
    accepted = request.headers.get("accept", "")
    is_format = "openmetrics" in accepted or "text/plain" in accepted
    return is_format or "x-prometheus-scrape-timeout-seconds" in request.headers


def _json(status: int, content: object) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
