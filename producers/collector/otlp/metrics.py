"""Data points of metrics as `metric.recorded`."""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import lru_cache

from runfold.producers.collector.otlp.fields import Fields, Origin, first_text, with_columns
from runfold.producers.collector.otlp.items import ItemRefused, Point, microseconds
from runfold.producers.tame import tame_id
from runfold.schemas.vocabulary import EventType


def metric_event(origin: Origin, point: Point, event_id: str) -> Fields:
    """Return the event of a data point.

    Shape: it belongs to the run of its session where it names one, else to that of its process and
    day. Raises: ItemRefused.
    """
    at = time_of(point)
    session = first_text(point.attributes, "session.id")
    run_id = tame_id(session) if session else process_run(origin, at)
    return point_event(origin, point, event_id, run_id)


def point_event(origin: Origin, point: Point, event_id: str, run_id: str) -> Fields:
    """Return the event of a data point of a run. Raises: ItemRefused."""
    if not point.name:
        raise ItemRefused("name: a metric needs one")
    if point.value is not None and not math.isfinite(point.value):
        raise ItemRefused(f"metric {point.name!r}: {point.value} is no number that can be counted")
    if point.value is None and point.kind in ("gauge", "sum"):
        raise ItemRefused(f"metric {point.name!r}: neither asDouble nor asInt is there")
    event = {
        "event_id": event_id,
        "run_id": run_id,
        "event_type": EventType.METRIC_RECORDED.value,
        "occurred_at": time_of(point),
    }
    columns = {
        **origin.columns,
        "name": point.name,
        "value": point.value,
        "unit": point.unit or None,
        "session_id": first_text(point.attributes, "session.id")
        or origin.columns.get("session_id"),
    }
    attributes = {**point.attributes, "metric_type": point.kind, **point.details}
    return with_columns(event, columns, attributes)


def time_of(point: Point) -> int:
    """Return when a point was measured, in microseconds. Raises: ItemRefused."""
    return microseconds(point.time_ns, "timeUnixNano")


def process_run(origin: Origin, at: int) -> str:
    """Return the run of what belongs to a process and to nothing else.

    Shape: a session, or a day of a process: the state of a run grows with its events.
    """
    if "session_id" in origin.columns:
        return origin.run_id
    return f"{origin.run_id}-{_date(at // _DAY_US)}"


_DAY_US = 24 * 60 * 60 * 1_000_000


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
