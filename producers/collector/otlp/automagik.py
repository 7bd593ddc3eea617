"""What the Automagik SDKs send, as the same events that their drop-in records.

Source: automagik-telemetry 0.0.1 to 0.1.4 (Python) and 0.1.3 (npm); docs/compat-automagik.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from runfold.producers.collector.otlp.fields import Fields, Origin, first_text, with_columns
from runfold.producers.collector.otlp.items import Log, Point, Source, Span
from runfold.producers.collector.otlp.logs import record_events, when
from runfold.producers.collector.otlp.metrics import point_event
from runfold.producers.collector.otlp.spans import error_of, times_of
from runfold.producers.compat.automagik.fields import columns_of
from runfold.schemas.vocabulary import EventType, RunStatus

JOB_TYPE = "automagik"
_ERROR_EVENT = "automagik.error"
_STATUS_ERROR = 2
_TYPES = {"sum": "counter"}
"""What the SDK calls the metrics whose OTLP name is another."""


def is_automagik(source: Source) -> bool:
    """Say whether a source is one of the SDKs; the oldest ones do not give their name."""
    resource = source.resource
    if resource.get("telemetry.sdk.name") == "automagik-telemetry":
        return True
    return "service.organization" in resource and bool(first_text(resource, "session.id"))


def profile(origin: Origin) -> Fields:
    """Return what the start of a session says of its run."""
    return {"job_type": JOB_TYPE, "agent_name": origin.columns.get("project")}


def span_event(origin: Origin, span: Span) -> Fields:
    """Return the event that a call of `track_event` or `track_error` was. Raises: ItemRefused."""
    at, ended_at = times_of(span)
    is_error = span.name == _ERROR_EVENT
    kind = EventType.ERROR_RAISED if is_error else EventType.CUSTOM
    columns: Fields = {
        "name": span.name,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        **columns_of(span.attributes),
    }
    if ended_at - at >= _LEAST_DURATION_US:
        columns.setdefault("duration_ms", (span.end_ns - span.start_ns) / 1e6)
    if span.status == _STATUS_ERROR:
        error_type, message = error_of(span)
        columns["status"] = RunStatus.FAILURE.value
        columns.setdefault("error_type", error_type)
        columns.setdefault("error_message", message)
    event = {
        "event_id": f"otlp-{span.trace_id}-{span.span_id}",
        "run_id": origin.run_id,
        "event_type": kind.value,
        "occurred_at": at,
    }
    attributes = {**span.attributes, "time_unix_nano": span.start_ns}
    return with_columns(event, {**origin.columns, **profile(origin), **columns}, attributes)


_LEAST_DURATION_US = 100
"""An event lasts a microsecond or two: the time that making its span took."""


def metric_event(origin: Origin, point: Point, event_id: str) -> Fields:
    """Return the event of a call of `track_metric`; a counter's values are increments.

    Raises: ItemRefused.
    """
    kind = _TYPES.get(point.kind, point.kind)
    called = point._replace(kind=kind, details={"time_unix_nano": point.time_ns})
    return point_event(origin, called, event_id, origin.run_id)


def log_events(origin: Origin, log: Log, event_id: str) -> Iterator[Fields]:
    """Yield the events of a call of `track_log`. Raises: ItemRefused."""
    attributes = {**log.attributes, "time_unix_nano": log.time_ns}
    place = event_id, origin.run_id, when(log)
    source = origin.source._replace(scope="")
    columns = {**origin.columns, **profile(origin), **columns_of(log.attributes)}
    plain = origin._replace(source=source, columns=columns)
    yield from record_events(plain, log._replace(attributes=attributes), place, content=True)
