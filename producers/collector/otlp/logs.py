"""Log records as `log.written`, and what they tell of errors as `error.raised`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from runfold.producers.collector.otlp.fields import Fields, Origin, first_text, with_columns
from runfold.producers.collector.otlp.items import Log, microseconds
from runfold.producers.collector.otlp.metrics import process_run
from runfold.producers.genai_mapping import is_content
from runfold.producers.tame import LONGEST_ID, tame_id
from runfold.schemas.vocabulary import EventType

_ERROR = 17
_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


def log_events(origin: Origin, log: Log, event_id: str, *, content: bool) -> Iterator[Fields]:
    """Yield the events of a log record: an exception that is logged as an error is one as well.

    Shape: it belongs to the run of its trace, of its session, or of its process and day.
    Raises: ItemRefused.
    """
    at = when(log)
    session = first_text(log.attributes, "session.id")
    if log.trace_id.strip("0"):
        run_id = log.trace_id[:LONGEST_ID]
    else:
        run_id = tame_id(session) if session else process_run(origin, at)
    yield from record_events(origin, log, (event_id, run_id, at), content=content)


def record_events(
    origin: Origin, log: Log, place: tuple[str, str, int], *, content: bool
) -> Iterator[Fields]:
    """Yield the events of a log record that has the id, run and time of `place`."""
    event_id, run_id, at = place
    columns: Fields = {**origin.columns, **ids_of(log)}
    session = first_text(log.attributes, "session.id")
    if session:
        columns["session_id"] = session
    event: Fields = {
        "event_id": event_id,
        "run_id": run_id,
        "event_type": EventType.LOG_WRITTEN.value,
        "occurred_at": at,
    }
    attributes = _attributes(origin, log, content=content)
    yield with_columns(event, {**columns, "name": level_of(log)}, attributes)
    error_type = first_text(log.attributes, "exception.type")
    if error_type and log.severity >= _ERROR:
        raised = {**event, "event_id": f"{event_id}-error"}
        raised["event_type"] = EventType.ERROR_RAISED.value
        told = {
            "name": origin.source.scope or None,
            "error_type": error_type,
            "error_message": first_text(log.attributes, "exception.message") or "",
        }
        yield with_columns(_bare(raised), {**columns, **told}, {})


def when(log: Log) -> int:
    """Return when a record was written, in microseconds; now where nobody says.

    Raises: ItemRefused.
    """
    return microseconds(log.time_ns or time.time_ns(), "timeUnixNano")


def level_of(log: Log) -> str:
    """Return the name of a record's level, in lower case."""
    if log.severity_text:
        return log.severity_text.lower()
    named = 1 <= log.severity <= 24
    return _LEVELS[(log.severity - 1) // 4] if named else "unspecified"


def ids_of(log: Log) -> Fields:
    """Return the trace that a record was written in."""
    found = {"trace_id": log.trace_id, "span_id": log.span_id}
    return {name: value for name, value in found.items() if value.strip("0")}


def _attributes(origin: Origin, log: Log, *, content: bool) -> Fields:
    told: dict[str, Any] = {
        name: value for name, value in log.attributes.items() if content or not is_content(name)
    }
    if log.body is not None and (content or not log.event_name.startswith("gen_ai.")):
        told["message"] = log.body
    if log.severity:
        told["severity_number"] = log.severity
    if log.severity_text:
        told["severity_text"] = log.severity_text
    if log.event_name:
        told["event.name"] = log.event_name
    if origin.source.scope:
        told["logger"] = origin.source.scope
    return told


def _bare(event: Fields) -> Fields:
    return {name: event[name] for name in ("event_id", "run_id", "event_type", "occurred_at")}
