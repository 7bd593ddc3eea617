"""The fold: the state of a run is what its events, in log order, make of it.

`fold` is pure and total: no clock, no I/O, never raises on a decoded event. Events arrive here
once each; that a repeated one changes nothing is the business of `dedupe`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.run_state import (
    MOST_TOKENS,
    MOST_USD,
    NANO_USD,
    PROFILE_FIELDS,
    TOKEN_FIELDS,
    LastError,
    LastTool,
    MetricValue,
    RunState,
    Stamp,
)
from runfold.schemas.vocabulary import (
    FAILED_TOOL_STATUSES,
    TERMINAL_STATUSES,
    EventType,
    RunStatus,
    canonical_status,
)

LIFECYCLE_TYPES = frozenset(
    {
        EventType.RUN_STARTED.value,
        EventType.RUN_UPDATED.value,
        EventType.RUN_ENDED.value,
        EventType.COMMIT_ASSOCIATED.value,
    }
)
"""Events that say something of the run itself. They are few, and their order matters most."""
KNOWN_TYPES = frozenset(each.value for each in EventType)

SAID_FIELDS = (*PROFILE_FIELDS, "status", "error_type", "error_message", "attributes")
"""The fields of an event that may say something of the run itself."""
Said = Mapping[str, Any]
"""Those of `SAID_FIELDS` that an event has set, by name."""

_PROFILE = frozenset(PROFILE_FIELDS)
_PROJECT = "project"
_STATUS_STAMP = "status"


def fold(state: RunState | None, logged: LoggedEvent) -> RunState:
    """Return the state of a run after one more event; `state` itself stays as it is.

    Shape: None is the state of a run that nothing is known of.
    """
    folded = RunState(logged.event.run_id) if state is None else state.copy()
    folded.seen.add(logged.event.event_id)
    apply_event(folded, logged)
    return folded


def apply_event(state: RunState, logged: LoggedEvent) -> None:
    """Change `state` by one event that it has not seen."""
    event = logged.event
    note_place(state, logged)
    count_event(state, event)
    stamp = Stamp(event.occurred_at, logged.offset)
    said = {name: value for name in SAID_FIELDS if (value := getattr(event, name)) is not None}
    if event.event_type in LIFECYCLE_TYPES:
        apply_lifecycle(state, event.event_type, stamp, said)
    else:
        fill_profile(state, said)
    if event.event_type in (EventType.TOOL_STARTED, EventType.TOOL_ENDED):
        note_tool(state, event.tool_name, event.event_type == EventType.TOOL_STARTED, stamp)
    elif event.event_type == EventType.ERROR_RAISED:
        note_error(state, event.error_type, event.error_message, stamp)
    elif event.event_type == EventType.METRIC_RECORDED:
        note_metric(state, event.name, MetricValue(event.value, event.unit, stamp))


def note_place(state: RunState, logged: LoggedEvent) -> None:
    """Widen the times and offsets that the run spans."""
    occurred_at = logged.event.occurred_at
    if state.first_offset < 0:
        state.first_offset = logged.offset
        state.first_recorded_at = logged.recorded_at
    state.last_offset = logged.offset
    state.last_recorded_at = logged.recorded_at
    if state.first_seen_at is None or occurred_at < state.first_seen_at:
        state.first_seen_at = occurred_at
    if state.last_seen_at is None or occurred_at > state.last_seen_at:
        state.last_seen_at = occurred_at


_COUNTERS: dict[str, str] = {
    EventType.TOOL_STARTED: "tools_started",
    EventType.TOOL_ENDED: "tools_ended",
    EventType.LLM_CALLED: "llm_calls",
    EventType.DECISION_MADE: "decisions",
    EventType.ERROR_RAISED: "errors",
    EventType.RUN_HEARTBEAT: "heartbeats",
}


def count_event(state: RunState, event: Event) -> None:
    """Add what one event counts, spends and costs."""
    state.events += 1
    kind = event.event_type
    counter = _COUNTERS.get(kind)
    if counter is not None:
        setattr(state, counter, getattr(state, counter) + 1)
    elif kind not in KNOWN_TYPES:
        state.unknown_events += 1
    if kind == EventType.TOOL_ENDED and is_failed_tool(event.status):
        state.tools_failed += 1
    for name in TOKEN_FIELDS:
        tokens = getattr(event, name)
        if tokens is not None and -MOST_TOKENS <= tokens <= MOST_TOKENS:
            setattr(state, name, getattr(state, name) + tokens)
    if event.cost_usd is not None:
        state.cost_nano_usd += nano_usd(event.cost_usd)


def is_failed_tool(status: str | None) -> bool:
    """Tell whether a tool ended badly."""
    return status is not None and canonical_status(status) in FAILED_TOOL_STATUSES


def nano_usd(cost_usd: float) -> int:
    """Return a cost in billionths of a dollar; what is no number, or absurd, adds nothing."""
    if not -MOST_USD <= cost_usd <= MOST_USD:
        return 0
    return math.floor(cost_usd * NANO_USD + 0.5)


def apply_lifecycle(state: RunState, kind: str, stamp: Stamp, said: Said) -> None:
    """Take what an event of one of `LIFECYCLE_TYPES` says of the run itself.

    The first `run.started` wins its fields; `run.updated`, `run.ended` and `commit.associated`
    override, the latest by event time, then by log order; whatever else only fills gaps. Nobody
    overrides the project: who may send to one project could take runs of another over.
    """
    if kind != EventType.RUN_STARTED:
        _override(state, kind, stamp, said)
    elif state.started_at is None:
        _start(state, stamp, said)
    else:
        fill_profile(state, said)


def fill_profile(state: RunState, said: Said) -> None:
    """Take fields that nothing has said yet."""
    for name, value in said.items():
        if name in _PROFILE and getattr(state, name) is None:
            setattr(state, name, value)


def _start(state: RunState, stamp: Stamp, said: Said) -> None:
    state.started_at = stamp.occurred_at
    stamps = state.stamps
    for name, value in said.items():
        if name in _PROFILE and name not in stamps:
            setattr(state, name, value)
    status = said.get("status")
    if status is not None and _STATUS_STAMP not in stamps:
        state.status = canonical_status(status)
    for key, value in _attributes(said).items():
        if f"attributes.{key}" not in stamps:
            state.attributes[key] = value


def _override(state: RunState, kind: str, stamp: Stamp, said: Said) -> None:
    for name, value in said.items():
        if name == _PROJECT:
            state.project = state.project if state.project is not None else value
        elif name in _PROFILE and _newer(state, name, stamp):
            setattr(state, name, value)
    for key, value in _attributes(said).items():
        if _newer(state, f"attributes.{key}", stamp):
            state.attributes[key] = value
    status = said.get("status")
    if kind == EventType.RUN_ENDED and status is None:
        status = RunStatus.FAILURE if said.get("error_type") else RunStatus.SUCCESS
    if status is not None and _newer(state, _STATUS_STAMP, stamp):
        state.status = canonical_status(status)
        state.ended_at = stamp.occurred_at if state.status in TERMINAL_STATUSES else None
        state.error_type = said.get("error_type")
        state.error_message = said.get("error_message")


def _newer(state: RunState, name: str, stamp: Stamp) -> bool:
    known = state.stamps.get(name)
    if known is not None and known > stamp:
        return False
    state.stamps[name] = stamp
    return True


def _attributes(said: Said) -> dict[str, Any]:
    text = said.get("attributes")
    if text is None:
        return {}
    try:
        attributes = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return attributes if isinstance(attributes, dict) else {}


def note_tool(state: RunState, name: str | None, is_open: bool, stamp: Stamp) -> None:
    """Remember the latest tool event by event time, then log order."""
    if state.last_tool is None or state.last_tool.stamp <= stamp:
        state.last_tool = LastTool(name, is_open, stamp)


def note_error(state: RunState, error_type: str | None, message: str | None, stamp: Stamp) -> None:
    """Remember the latest error event by event time, then log order."""
    if state.last_error is None or state.last_error.stamp <= stamp:
        state.last_error = LastError(error_type, message, stamp)


def note_metric(state: RunState, name: str | None, value: MetricValue) -> None:
    """Remember the latest value of a metric by event time, then log order."""
    known = state.metrics.get(name or "")
    if known is None or known.stamp <= value.stamp:
        state.metrics[name or ""] = value
