"""Claude Code's own telemetry: a session is a run.

Tokens and costs come from `api_request` events. Metrics and spans tell the same ones again, so
theirs stay values and attributes.

Source: code.claude.com/docs/en/monitoring-usage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runfold.producers.coercion import coerced
from runfold.producers.collector.otlp.fields import (
    Fields,
    Origin,
    first_text,
    taken_text,
    with_columns,
)
from runfold.producers.collector.otlp.items import Log, Point, Source, Span
from runfold.producers.collector.otlp.logs import ids_of, when
from runfold.producers.collector.otlp.metrics import point_event, process_run, time_of
from runfold.producers.collector.otlp.spans import error_of, times_of
from runfold.producers.tame import tame_id
from runfold.schemas.vocabulary import EventType, RunStatus

AGENT = "claude-code"
_PREFIX = "claude_code."
_SCOPE = "com.anthropic.claude_code"
_STATUS_ERROR = 2
_DECISIONS = {"accept": "APPROVE", "reject": "DENY"}

_NUMBERS: dict[str, tuple[str, type]] = {
    "input_tokens": ("input_tokens", int),
    "output_tokens": ("output_tokens", int),
    "cache_read_tokens": ("cache_read_tokens", int),
    "cache_creation_tokens": ("cache_write_tokens", int),
    "cost_usd": ("cost_usd", float),
    "duration_ms": ("duration_ms", float),
}
"""Attributes of an `api_request`, some of which older versions write as text."""


def is_claude_code(source: Source) -> bool:
    """Say whether a source is Claude Code."""
    return source.resource.get("service.name") == AGENT or source.scope.startswith(_SCOPE)


def session_of(origin: Origin, attributes: Mapping[str, Any], at: int) -> str:
    """Return the run of an item: its session."""
    session = first_text(attributes, "session.id")
    return tame_id(session) if session else process_run(origin, at)


def profile(origin: Origin, attributes: Mapping[str, Any]) -> Fields:
    """Return what every item says of its session."""
    said = {
        "agent_name": AGENT,
        "agent_version": first_text(attributes, "app.version"),
        "session_id": first_text(attributes, "session.id"),
        "user_id": first_text(attributes, "user.id"),
        "job_type": "session",
    }
    return {**origin.columns, **{name: value for name, value in said.items() if value}}


def log_event(origin: Origin, log: Log, event_id: str) -> Fields:
    """Return the event of one of Claude Code's. Raises: ItemRefused."""
    at = when(log)
    attributes = dict(log.attributes)
    name = _name_of(log)
    kind, columns = _told(name, attributes)
    if not isinstance(log.body, str) or log.body not in (name, f"{_PREFIX}{name}"):
        attributes["message"] = log.body
    event = {
        "event_id": event_id,
        "run_id": session_of(origin, log.attributes, at),
        "event_type": kind.value,
        "occurred_at": at,
    }
    common = {**profile(origin, attributes), **ids_of(log), "name": name}
    return with_columns(event, {**common, **columns}, attributes)


def metric_event(origin: Origin, point: Point, event_id: str) -> Fields:
    """Return the event of a data point; its tokens and cost count by `api_request` already.

    Raises: ItemRefused.
    """
    run_id = session_of(origin, point.attributes, time_of(point))
    told = origin._replace(columns=profile(origin, point.attributes))
    return point_event(told, point, event_id, run_id)


def span_event(origin: Origin, span: Span) -> Fields:
    """Return the event of a span: all are steps of their session. Raises: ItemRefused."""
    at, ended_at = times_of(span)
    attributes = {**span.attributes}
    if span.events:
        attributes["span.events"] = [{"name": name, **told} for name, told in span.events]
    columns: Fields = {
        **profile(origin, span.attributes),
        "name": span.name,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id or None,
        "tool_name": first_text(span.attributes, "tool_name", "gen_ai.tool.name"),
        "model": first_text(span.attributes, "model", "gen_ai.request.model"),
        "duration_ms": max(ended_at - at, 0) / 1000,
        "status": RunStatus.SUCCESS.value,
    }
    if span.status == _STATUS_ERROR:
        columns["status"] = RunStatus.FAILURE.value
        columns["error_type"], columns["error_message"] = error_of(span)
    event = {
        "event_id": f"otlp-{span.trace_id}-{span.span_id}",
        "run_id": session_of(origin, span.attributes, at),
        "event_type": EventType.SPAN_ENDED.value,
        "occurred_at": ended_at,
    }
    return with_columns(event, columns, attributes)


def _name_of(log: Log) -> str:
    """Return an event's name without the prefix that some versions write."""
    body = log.body if isinstance(log.body, str) else ""
    named = first_text(log.attributes, "event.name") or log.event_name or body
    return named.removeprefix(_PREFIX)[:200]


def _told(name: str, attributes: Fields) -> tuple[EventType, Fields]:
    """Return what an event is, and its columns, which are taken out of `attributes`."""
    if name == "api_request":
        return EventType.LLM_CALLED, {
            "provider": "anthropic",
            "model": taken_text(attributes, "model"),
            **_numbers(attributes, *_NUMBERS),
            "status": RunStatus.SUCCESS.value,
        }
    if name == "api_error":
        status = attributes.get("status_code")
        return EventType.ERROR_RAISED, {
            "provider": "anthropic",
            "model": taken_text(attributes, "model"),
            "error_type": f"HTTP {status}" if status not in (None, "", "undefined") else name,
            "error_message": taken_text(attributes, "error"),
            **_numbers(attributes, "duration_ms"),
        }
    if name == "tool_result":
        failed = str(attributes.get("success")).lower() == "false"
        return EventType.TOOL_ENDED, {
            "tool_name": taken_text(attributes, "tool_name"),
            "span_id": taken_text(attributes, "tool_use_id"),
            "status": (RunStatus.FAILURE if failed else RunStatus.SUCCESS).value,
            "error_type": taken_text(attributes, "error_type"),
            "error_message": taken_text(attributes, "error"),
            **_numbers(attributes, "duration_ms"),
        }
    if name == "tool_decision":
        said = taken_text(attributes, "decision")
        return EventType.DECISION_MADE, {
            "tool_name": taken_text(attributes, "tool_name"),
            "span_id": taken_text(attributes, "tool_use_id"),
            "decision": _DECISIONS.get(said or "", said),
            "decision_reason": taken_text(attributes, "source"),
        }
    return EventType.CUSTOM, {}


def _numbers(attributes: Fields, *names: str) -> Fields:
    found = {}
    for name in names:
        column, wanted = _NUMBERS[name]
        number = coerced(attributes.get(name), wanted)
        if number is not None:
            found[column] = number
            del attributes[name]
    return found
