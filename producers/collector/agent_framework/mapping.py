"""What the Agent Framework's clients send, as events. docs/agent-framework.md has it as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from runfold.producers.collector.agent_framework.decisions import normal_decision
from runfold.producers.collector.agent_framework.items import Item, LateCost, Transcript
from runfold.schemas.vocabulary import EventType, RunStatus

Fields = dict[str, Any]

JOB_TYPE = "agent_framework"
COST_ADDED = "cost.added"
"""The name of the `custom` event by which a generation's cost comes after its call."""

_COLUMNS = {
    "hostId": "host",
    "sessionId": "session_id",
    "agentName": "agent_name",
    "toolName": "tool_name",
    "decisionReason": "decision_reason",
    "latencyMs": "duration_ms",
    "modelName": "model",
}
"""What has a field of its own in an event."""
_TOKENS = ("promptTokens", "completionTokens", "cachedTokens", "reasoningTokens")
_SPENT = (*_TOKENS, "cost")
_WIRE_NAMES = frozenset(Item.__annotations__)


def run_id_of(sent: Item | LateCost | Transcript) -> str:
    """Return the run of a session on a host. Shape: the session, then `@`, then the host."""
    session = sent["sessionId"].replace("%", "%25").replace("@", "%40")
    return f"{session}@{sent['hostId']}"


def event_ids(items: Sequence[Item], request_id: str) -> list[str]:
    """Return an id for each item.

    Shape: an item with a time is the same event whenever it comes again, and counted among its
    likes within a batch. One without is an event of its own in each request, by `request_id`.
    """
    likes: Counter[bytes] = Counter()
    ids = []
    for item in items:
        content = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        if not item.get("timestamp"):
            content += request_id.encode()
        likes[content] += 1
        ids.append(f"af-{_digest(content + str(likes[content]).encode())}")
    return ids


def attributes_of(item: Item) -> Fields:
    """Return what an event's own fields do not say, under the columns' names of the old table."""
    attributes: Fields = {}
    unknown: Fields = {}
    for name, value in item.items():
        if name not in _WIRE_NAMES:
            unknown[name] = value
        elif name not in _COLUMNS and name != "timestamp":
            attributes[_snake(name)] = value
    if normal_decision(item.get("decision", "")) == item.get("decision", ""):
        attributes.pop("decision", None)
    if unknown:
        attributes["unknown_fields"] = unknown
    return attributes


def events_of(item: Item, event_id: str, occurred_at: int, attributes: str) -> list[Fields]:
    """Return the events of an item: first the one that stands for it, with its `attributes`.

    Shape: what a model spent is on `llm.called` alone, so that it counts once.
    """
    whose = _whose(item, occurred_at)
    failed = item.get("success") is False or normal_decision(item.get("decision", "")) == "ERROR"
    first = {
        **whose,
        **_set({column: item.get(name) for name, column in _COLUMNS.items()}),
        "event_id": event_id,
        "event_type": _event_type(item).value,
        "name": item["eventType"],
        "attributes": attributes,
    }
    if "decision" in item:
        first["decision"] = normal_decision(item["decision"])
    if "success" in item:
        first["status"] = (RunStatus.SUCCESS if item["success"] else RunStatus.FAILURE).value
    error = _error(item) if failed or item["eventType"] == "error" else {}
    events = [first]
    if first["event_type"] == EventType.ERROR_RAISED:
        first.update(error)
    elif error:
        events.append(_below(event_id, "error", EventType.ERROR_RAISED, whose) | error)
    if item.get("executionType") == "llm" or any(name in item for name in _SPENT):
        events.append(_model_call(item, event_id, whose))
    return events


def started(items: Iterable[tuple[Item | Transcript, int]]) -> list[Fields]:
    """Return for each run its beginning, which the log keeps the first of.

    Shape: `items` with the time of each.
    """
    found: dict[str, Fields] = {}
    for item, at in items:
        run_id = run_id_of(item)
        if run_id not in found or at < found[run_id]["occurred_at"]:
            found[run_id] = {
                **_whose(item, at),
                "event_id": "af-started",
                "event_type": EventType.RUN_STARTED.value,
                "job_type": JOB_TYPE,
            }
    return list(found.values())


def cost_event(late: LateCost, occurred_at: int) -> Fields:
    """Return what adds the cost of a generation, unless its call has told it."""
    attributes: Fields = {"generation_id": late["generationId"]}
    attributes |= {_snake(name): value for name, value in late.items() if name in _TOKENS}
    return {
        **_whose(late, occurred_at),
        **_set({"model": late.get("modelName"), **_tokens(late)}),
        "event_id": cost_id(late["generationId"]),
        "event_type": EventType.CUSTOM.value,
        "name": COST_ADDED,
        "cost_usd": late["cost"],
        "attributes": orjson.dumps(attributes).decode(),
    }


def cost_id(generation_id: str) -> str:
    """Return the id of the one event of a run that has the cost of a generation."""
    return f"af-cost-{_digest(generation_id.encode())}"


def transcript_event(
    transcript: Transcript, event_id: str, occurred_at: int, attributes: str
) -> Fields:
    """Return the event that replaces the transcript of a session."""
    return {
        **_whose(transcript, occurred_at),
        "event_id": event_id,
        "event_type": EventType.TRANSCRIPT_SAVED.value,
        "attributes": attributes,
    }


def transcript_attributes(transcript: Transcript) -> Fields:
    """Return a transcript and its counts, in the words of runfold's own client."""
    messages = transcript["transcript"]
    roles = Counter(message["role"] for message in messages)
    return {
        "message_counts": {role: roles[role] for role in ("user", "assistant", "tool_result")},
        "first_message": 0,
        "part": 1,
        "parts": 1,
        "messages_total": len(messages),
        "messages": messages,
    }


def _event_type(item: Item) -> EventType:
    if item["eventType"] == "error":
        return EventType.ERROR_RAISED
    if "decision" in item:
        return EventType.DECISION_MADE
    return EventType.SPAN_ENDED if item["eventType"] == "agent_execution" else EventType.CUSTOM


def _model_call(item: Item, event_id: str, whose: Fields) -> Fields:
    """Return the call of a model."""
    generation = item.get("generationId")
    call = _below(event_id, "llm", EventType.LLM_CALLED, whose) | _set(
        {
            "model": item.get("modelName"),
            "duration_ms": item.get("latencyMs"),
            **_tokens(item),
            "cost_usd": item.get("cost"),
        }
    )
    if generation and "cost" in item:  # so a cost that comes later adds nothing
        call["event_id"] = cost_id(generation)
    return call


def _tokens(sent: Item | LateCost) -> Fields:
    """Return the columns of tokens; `input_tokens` are without those that a cache read."""
    cached = sent.get("cachedTokens")
    prompt = sent.get("promptTokens")
    return {
        "input_tokens": None if prompt is None else max(0, prompt - (cached or 0)),
        "cache_read_tokens": cached,
        "output_tokens": sent.get("completionTokens"),
        "reasoning_tokens": sent.get("reasoningTokens"),
    }


def _error(item: Item) -> Fields:
    reason = item.get("decisionReason")
    where = item.get("hookName") or item.get("toolName") or item["eventType"]
    return {"error_type": item["agentName"], "error_message": reason or f"{where} failed"}


def _below(event_id: str, what: str, kind: EventType, whose: Fields) -> Fields:
    return {
        **whose,
        "event_id": f"{event_id}-{what}",
        "event_type": kind.value,
        "attributes": orjson.dumps({"of_event": event_id}).decode(),
    }


def _whose(sent: Mapping[str, Any], occurred_at: int) -> Fields:
    return _set(
        {
            "run_id": run_id_of(sent),  # type: ignore[arg-type]
            "occurred_at": occurred_at,
            "host": sent["hostId"],
            "session_id": sent["sessionId"],
            "agent_name": sent.get("agentName"),
        }
    )


def _set(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _snake(name: str) -> str:
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
