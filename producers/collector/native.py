"""The collector's own API: lines of a runfold journal, as the client's HTTP way sends them."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from runfold.producers.collector.access import KeyRefused, Scope
from runfold.producers.collector.collector import Collector, bearer_of, password_of
from runfold.producers.collector.descriptions import Content, Schema, reference, takes
from runfold.producers.collector.journaling_log import KEPT
from runfold.producers.collector.problems import Problem, answering
from runfold.producers.shipping import parse_line
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import EventRejected

API = "native"

_EXAMPLE = """\
{"event_id": "a-1", "run_id": "a", "event_type": "run.started", "occurred_at": 1763700000000000}
{"event_id": "a-2", "run_id": "a", "event_type": "run.ended", "occurred_at": 1763700001000000, \
"status": "success", "attributes": {"pages": 12}}
"""
_TYPES: dict[str, Schema] = {
    "string": {"type": "string"},
    "long": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "double": {"type": "number"},
}


def native_routes(collector: Collector) -> APIRouter:
    """Return `POST /api/v1/events`."""
    router = APIRouter(tags=["runfold"], route_class=answering(_render))

    @router.post(
        "/api/v1/events",
        summary="Record events, one JSON object a line",
        openapi_extra=takes(Content("application/x-ndjson", _lines_schema(), _EXAMPLE)),
    )
    async def post_events(request: Request) -> Response:
        """Take events; those that can never be one are named, and the others are kept.

        Delivery: answered when Kafka has acknowledged; with 202 while it is down, where the
        collector keeps events in its journal meanwhile. 503 with Retry-After: send all again.
        """
        try:
            caller = collector.admit(
                request, bearer_of(request) or password_of(request), Scope.INGEST
            )
        except KeyRefused as error:
            raise Problem(401 if error.missing else 403, str(error)) from error
        lines = (await collector.body(request)).splitlines()
        parsed = [_parsed(line) for line in lines]
        events = [each for each in parsed if not isinstance(each, EventRejected)]
        taken = iter(await collector.take(API, caller, events))
        outcome = [each if isinstance(each, EventRejected) else next(taken) for each in parsed]
        rejected = [
            {"index": index, "reason": each.reason, "message": each.message}
            for index, each in enumerate(outcome)
            if isinstance(each, EventRejected)
        ]
        status = 202 if KEPT in outcome else 200
        return _json(status, {"accepted": len(lines) - len(rejected), "rejected": rejected})

    return router


def _lines_schema() -> Schema:
    """Return what the lines of a body are: events as Avro has them, with attributes as an object.

    Source: docs/journal-format.md.
    """
    properties: dict[str, Schema] = {}
    needed: list[str] = []
    for field in latest("event").definition["fields"]:
        name, kind = field["name"], field["type"]
        if isinstance(kind, list):
            kind = kind[1]
        else:
            needed.append(name)
        kind = kind["type"] if isinstance(kind, dict) else kind
        told = {"description": field["doc"]} if "doc" in field else {}
        properties[name] = {**_TYPES[kind], **told}
    properties["occurred_at"]["description"] = "When it happened: microseconds since 1970, UTC."
    properties["attributes"] = {"type": "object", "description": "All that has no field."}
    event = {"type": "object", "required": needed, "properties": properties}
    return {"type": "array", "items": reference("Event"), "$defs": {"Event": event}}


def _parsed(line: bytes) -> dict[str, Any] | EventRejected:
    try:
        return parse_line(line)
    except EventRejected as error:
        return error


def _json(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _render(problem: Problem) -> Response:
    return _json(problem.status, {"error": problem.message}, problem.all_headers())
