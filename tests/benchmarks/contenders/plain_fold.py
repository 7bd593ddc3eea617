"""Decode, dedupe and fold as a careful user of a stream library would write them.

One event at a time, over a state that is a plain dictionary, which is what the libraries keep. It
counts what runfold's own state counts and remembers ids as ranges, as runfold does, so that the
comparison is of the ways to process a stream. Of runfold it needs nothing.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro

State = dict[str, Any]

HEADER_BYTES = 10
SCHEMA_FILE = Path(__file__).parents[3] / "schemas" / "avro" / "event.v1.avsc"

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_COUNTERS = {
    "tool.started": "tools_started",
    "tool.ended": "tools_ended",
    "llm.called": "llm_calls",
    "decision.made": "decisions",
    "error.raised": "errors",
    "run.heartbeat": "heartbeats",
}
_PROFILE = (
    "parent_run_id",
    "session_id",
    "agent_name",
    "agent_owner",
    "agent_version",
    "trigger_type",
    "project",
    "environment",
    "host",
    "provider",
    "model",
    "items_succeeded",
    "items_failed",
)


def _parsed_schema() -> Any:
    definition = json.loads(SCHEMA_FILE.read_text("utf-8"))
    for field in definition["fields"]:  # times stay numbers: cheaper, and JSON can hold them
        if isinstance(field["type"], dict):
            field["type"] = field["type"]["type"]
    return fastavro.parse_schema(definition)


_SCHEMA = _parsed_schema()


def decode(value: bytes) -> dict[str, Any]:
    """Return the event in the body behind the ten bytes of the single-object header."""
    stream = io.BytesIO(value)
    stream.seek(HEADER_BYTES)
    return fastavro.schemaless_reader(stream, _SCHEMA, None)  # type: ignore[return-value]


def new_state() -> State:
    """Return the state of a run that nothing is known of."""
    return {"status": "running", "events": 0, "seen": {}, "cost_usd": 0.0} | dict.fromkeys(
        (*_COUNTERS.values(), "tools_failed", *_TOKENS), 0
    )


def fold(state: State, event: dict[str, Any]) -> bool:
    """Change `state` by `event`; return False, with nothing changed, where it was seen before."""
    if not _remember(state["seen"], event["event_id"]):
        return False
    kind, at = event["event_type"], event["occurred_at"]
    state["events"] += 1
    state["last_seen_at"] = at
    state.setdefault("first_seen_at", at)
    counter = _COUNTERS.get(kind)
    if counter is not None:
        state[counter] += 1
    for name in _TOKENS:
        tokens = event[name]
        if tokens is not None:
            state[name] += tokens
    if event["cost_usd"] is not None:
        state["cost_usd"] += event["cost_usd"]
    if kind in ("tool.started", "tool.ended"):
        state["last_tool"] = event["tool_name"]
        state["last_tool_open"] = kind == "tool.started"
        if event["status"] in ("failure", "timeout"):
            state["tools_failed"] += 1
    elif kind == "run.ended":
        state["status"] = event["status"] or "success"
        state["ended_at"] = at
    elif kind == "run.started":
        state["started_at"] = at
    for name in _PROFILE:
        if event[name] is not None and name not in state:
            state[name] = event[name]
    return True


def _remember(seen: dict[str, list[list[int]]], event_id: str) -> bool:
    """Add an id `<producer>-<sequence>` to ranges of sequences; return False where it is there."""
    producer, _, digits = event_id.rpartition("-")
    sequence = int(digits)
    ranges = seen.get(producer)
    if ranges is None:
        seen[producer] = [[sequence, sequence]]
        return True
    if sequence == ranges[-1][1] + 1:
        ranges[-1][1] = sequence
        return True
    if any(first <= sequence <= last for first, last in ranges):
        return False
    ranges.append([sequence, sequence])
    ranges.sort()
    return True
