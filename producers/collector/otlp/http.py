"""OTLP over HTTP: `/v1/traces`, `/v1/metrics` and `/v1/logs`, behind any prefix."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter, Request, Response

from runfold.producers.collector.access import Caller, KeyRefused, Scope
from runfold.producers.collector.collector import Collector, bearer_of
from runfold.producers.collector.otlp.answers import (
    JSON,
    PROTOBUF,
    accepted,
    problem_response,
    response_to,
)
from runfold.producers.collector.otlp.descriptions import request_body
from runfold.producers.collector.otlp.intake import take
from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.otlp.translation import Request as OtlpRequest
from runfold.producers.collector.problems import Problem, busy
from runfold.schemas.errors import BrokerUnavailable

_KEY_IN_PATH = re.compile(r"(?:.*/)?t/([^/]+)")
_MEDIA_TYPES = {PROTOBUF: PROTOBUF, "application/protobuf": PROTOBUF, JSON: JSON}


def otlp_routes(collector: Collector) -> APIRouter:
    """Return the routes of OTLP over HTTP.

    Shape: a client that cannot send headers presents its key in the path, `/t/<key>/v1/traces`.
    """
    router = APIRouter(tags=["otlp"])
    for signal in Signal:
        for path in (f"/v1/{signal}", f"/{{prefix:path}}/v1/{signal}"):
            router.add_api_route(
                path,
                _route(collector, signal),
                methods=["POST"],
                summary=f"Take {signal} of OpenTelemetry",
                name=f"otlp_{signal}",
                include_in_schema="prefix" not in path,
                openapi_extra=request_body(signal),
            )
    return router


def _route(collector: Collector, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
    async def post(request: Request) -> Response:
        """Take items; those that can never be events are counted, named and kept aside.

        Delivery: answered when Kafka has acknowledged. 503 with Retry-After: send all again.
        """
        media_type = _media_type(request)
        try:
            return await _take(collector, signal, request, media_type)
        except Problem as problem:
            return problem_response(problem, media_type or JSON)
        except BrokerUnavailable as error:
            structlog.get_logger(__name__).warning("log unavailable", error=str(error))
            return problem_response(busy(error), media_type or JSON)

    return post


async def _take(
    collector: Collector, signal: Signal, request: Request, media_type: str | None
) -> Response:
    caller = _admitted(collector, request)
    if media_type is None:
        given = request.headers.get("content-type", "")
        raise Problem(415, f"Content-Type {given!r} is none of {PROTOBUF} and {JSON}")
    body = await collector.body(request)
    try:
        outcome = await take(collector, caller, OtlpRequest(signal, body, media_type == JSON))
    except ValueError as error:
        raise Problem(400, str(error)) from error
    return response_to(accepted(signal, outcome), media_type)


def _admitted(collector: Collector, request: Request) -> Caller:
    in_path = _KEY_IN_PATH.fullmatch(request.path_params.get("prefix", ""))
    presented = bearer_of(request) or (in_path[1] if in_path else None)
    try:
        return collector.admit(request, presented, Scope.INGEST)
    except KeyRefused as error:
        raise Problem(401 if error.missing else 403, str(error)) from error


def _media_type(request: Request) -> str | None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return _MEDIA_TYPES.get(given)
