"""The routes of the Agent Framework's collector: batches, transcripts, late costs, health.

Source: its API, with the bodies and codes that its clients have seen; what it answered with 500 is
stored, or refused with the name of the field.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from runfold.producers.collector.access import Caller, KeyRefused, Scope
from runfold.producers.collector.agent_framework import mapping
from runfold.producers.collector.agent_framework.answers import (
    AgentFrameworkRoute,
    json_answer,
    malformed_json,
    not_found,
)
from runfold.producers.collector.agent_framework.batches import (
    Checked,
    check,
    check_batch,
    refuse_other_hosts,
)
from runfold.producers.collector.agent_framework.issues import zod_error
from runfold.producers.collector.agent_framework.items import (
    BATCH,
    LATE_COST,
    TRANSCRIPT,
    Item,
    time_us,
)
from runfold.producers.collector.bodies import BodyLimits, read_body
from runfold.producers.collector.collector import Collector, bearer_of
from runfold.producers.collector.descriptions import Content, schema_of, takes
from runfold.producers.collector.documents import Documents
from runfold.producers.collector.json_bodies import parse_json
from runfold.producers.collector.problems import Problem
from runfold.schemas.errors import BrokerUnavailable, EventRejected

API = "agent_framework"

_MIB = 1024 * 1024
_TRANSCRIPT_LIMITS = BodyLimits(128 * _MIB, 128 * _MIB)
"""What the original's server took at most."""
_PARSED_AT_ONCE_BYTES = _MIB
_SESSION = {"hostId": "laptop", "sessionId": "s1"}
_EVENTS = {
    "events": [
        {
            **_SESSION,
            "eventType": "hook_decision",
            "agentName": "tool-approve",
            "decision": "APPROVE",
            "toolName": "Bash",
        }
    ]
}
_COST = {**_SESSION, "generationId": "gen-1", "cost": 0.0021}
_TALK = {**_SESSION, "transcript": [{"role": "user", "content": "hello", "index": 0}]}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


def agent_framework_routes(
    collector: Collector, documents: Documents, *, strict: bool = False
) -> APIRouter:
    """Return the routes.

    Shape: `strict` takes a batch as the original did, all of it by its last rules or nothing; else
    the items that are right are taken, and the answer names the others.
    """
    routes = _Routes(collector, documents, strict)
    router = APIRouter(tags=[API], route_class=AgentFrameworkRoute)
    for path, answer, adapter, example, summary in (
        ("/api/v1/telemetry/batch", routes.batch, BATCH, _EVENTS, "Record up to 100 events"),
        ("/api/v1/telemetry/cost", routes.cost, LATE_COST, _COST, "Add a generation's cost, once"),
        ("/api/v1/transcript", routes.transcript, TRANSCRIPT, _TALK, "Replace a transcript"),
    ):
        body = takes(Content("application/json", schema_of(adapter), example))
        router.add_api_route(path, answer, methods=["POST"], summary=summary, openapi_extra=body)
    router.add_api_route("/api/v1/health", routes.health, summary="Whether the log takes events")
    router.add_api_route("/", routes.name, summary="What serves here")
    for path in ("/api/v1/telemetry/{rest:path}", "/api/v1/transcript{rest:path}"):
        router.add_api_route(path, routes.preflight, methods=["OPTIONS"], include_in_schema=False)
        router.add_api_route(path, routes.nothing, methods=_METHODS, include_in_schema=False)
    router.add_api_route(
        "/api/v1/health", routes.preflight, methods=["OPTIONS"], include_in_schema=False
    )
    return router


class _Routes:
    def __init__(self, collector: Collector, documents: Documents, strict: bool) -> None:
        self._collector = collector
        self._documents = documents
        self._strict = strict

    async def batch(self, request: Request) -> Response:
        """Take events; those that are wrong are named, and the others are kept.

        Delivery: answered when Kafka has acknowledged. An event with a `timestamp` is the same one
        when it is sent again; others are, where `Idempotency-Key` is. 503: send all again.
        """
        caller = self._admit(request)
        try:
            body = await self._json(request)
        except ValueError:
            return malformed_json()
        refuse_other_hosts(body, caller)
        checked = check_batch(body, strict=self._strict)
        await self._take(checked, caller, _request_id(request))
        rejected = [{"index": at, "issues": each} for at, each in sorted(checked.issues.items())]
        answer: dict[str, Any] = {"accepted": len(checked.items)}
        if not checked.items:
            return json_answer(400, zod_error(checked.all_issues()))
        return json_answer(200, answer | ({"rejected": rejected} if rejected else {}))

    async def transcript(self, request: Request) -> Response:
        """Replace the transcript of a session by a longer, shorter or empty one.

        Delivery: answered when Kafka has acknowledged; safe to repeat.
        """
        caller = self._admit(request)
        try:
            body = await self._json(request, _TRANSCRIPT_LIMITS)
        except ValueError:
            return malformed_json()
        sent = check(TRANSCRIPT, body)
        if caller.host not in (None, sent["hostId"]):
            raise Problem(400, "Host ID mismatch")
        at = _now_us()
        attributes = await self._documents.text_of(mapping.transcript_attributes(sent))
        event_id = f"af-transcript-{_request_id(request)}"
        events = [
            *mapping.started([(sent, at)]),
            mapping.transcript_event(sent, event_id, at, attributes),
        ]
        await self._take_all(caller, events)
        return json_answer(200, {"success": True})

    async def cost(self, request: Request) -> Response:
        """Add what a generation cost, which its event did not say.

        Delivery: answered when Kafka has acknowledged; the cost of a generation counts once.
        """
        caller = self._admit(request)
        try:
            body = await self._json(request)
        except ValueError:
            return malformed_json()
        sent = check(LATE_COST, body)
        if caller.host not in (None, sent["hostId"]):
            raise Problem(400, f"Host ID mismatch: expected {caller.host}")
        await self._take_all(caller, [mapping.cost_event(sent, _now_us())])
        return json_answer(200, {"success": True})

    async def health(self) -> Response:
        """Say whether Kafka answers, in the original's words."""
        try:
            await self._collector.log.connect()
        except BrokerUnavailable:
            return json_answer(503, {"status": "unhealthy", "database": "disconnected"})
        return json_answer(200, {"status": "healthy", "database": "connected"})

    async def name(self) -> Response:
        """Say what serves here."""
        return json_answer(200, {"service": "agent-telemetry-collector", "version": "1.0.0"})

    async def preflight(self) -> Response:
        """Let pages of any origin send."""
        return Response(status_code=204)

    async def nothing(self, request: Request) -> Response:
        """Answer for a path or a method that the API does not have."""
        self._admit(request)
        return not_found()

    def _admit(self, request: Request) -> Caller:
        try:
            return self._collector.admit(request, bearer_of(request), Scope.INGEST)
        except KeyRefused as error:
            if error.missing:
                raise Problem(401, "Missing X-API-Key header") from error
            raise Problem(403, "Invalid API key") from error

    async def _json(self, request: Request, limits: BodyLimits | None = None) -> Any:
        """Return the body; what says that it is no JSON counts as empty. Raises: ValueError."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            return {}
        if limits is None:
            body = await self._collector.body(request)
        else:
            body = await read_body(request, limits, self._collector.room)
        if len(body) <= _PARSED_AT_ONCE_BYTES:
            return parse_json(body)
        return await asyncio.to_thread(parse_json, body)

    async def _take(self, checked: Checked, caller: Caller, request_id: str) -> None:
        """Put the items into the log; those that are too large move to the issues."""
        now = _now_us()
        items = list(checked.items.values())
        times = [_time_of(item, now) for item in items]
        events = mapping.started(zip(items, times, strict=True))
        owners: list[int | None] = [None] * len(events)
        ids = mapping.event_ids(items, request_id)
        for index, event_id, at in zip(list(checked.items), ids, times, strict=True):
            item = checked.items[index]
            attributes = await self._documents.text_of(mapping.attributes_of(item))
            more = mapping.events_of(item, event_id, at, attributes)
            events += more
            owners += [index] * len(more)
        taken = await self._collector.take(API, caller, events)
        for owner, each in zip(owners, taken, strict=True):
            if owner is not None and isinstance(each, EventRejected):
                checked.items.pop(owner, None)
                issue = {"code": "custom", "path": ["events", owner], "message": each.message}
                checked.issues.setdefault(owner, []).append(issue)

    async def _take_all(self, caller: Caller, events: Sequence[mapping.Fields]) -> None:
        for each in await self._collector.take(API, caller, events):
            if isinstance(each, EventRejected):
                raise Problem(413 if each.reason == "too_large" else 400, each.message)


def _time_of(item: Item, now: int) -> int:
    said = item.get("timestamp")
    return (time_us(said) if said else None) or now


def _now_us() -> int:
    return time.time_ns() // 1000


def _request_id(request: Request) -> str:
    """Return what the request calls itself, so that it may be sent again, else a new name."""
    return request.headers.get("idempotency-key", "")[:255] or uuid.uuid4().hex
