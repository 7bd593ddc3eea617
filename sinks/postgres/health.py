"""The pipeline's health, as rows of PostgreSQL: how far, how fresh, and what is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import psycopg

from runfold.schemas.errors import ConfigurationError
from runfold.schemas.offsets import OffsetRange
from runfold.sinks.log_description import read_description
from runfold.sinks.object_path import LakePath
from runfold.sinks.postgres.connecting import connect, postgres_errors
from runfold.sinks.postgres.held import Held

LogEnds = Callable[[], Mapping[str, Mapping[int, int]]]
"""Gives for each topic, by name, the next offset of each partition; nothing where nobody knows."""

EVERY = timedelta(seconds=15)
KEPT = timedelta(days=7)

_IS_DUE = """
select not exists (select from runfold.pipeline_health where checked_at > clock_timestamp() - %s)
"""
_FORGET = "delete from runfold.pipeline_health where checked_at < clock_timestamp() - %s"
_LOGS = """
select topic_id, sum(events)::bigint, sum(dead_letters)::bigint, max(recorded_at)
from runfold.watermarks where kind = 'events' group by topic_id
order by max(recorded_at) desc nulls last
"""
_MISSING = """
select topic_id, sum(missing_events)::bigint from runfold.run_rows
where missing_events > 0 group by topic_id
"""
_WRITE = """
insert into runfold.pipeline_health
    (checked_at, topic_id, topic, records, events, duplicates, dead_letters, missing, holes,
     lag_records, exported_recorded_at, freshness_seconds)
values (clock_timestamp(), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


_LAST_LOOK = """
select extract(epoch from clock_timestamp() - max(checked_at))::float8 from runfold.pipeline_health
"""


def last_look(url: str) -> float | None:
    """Return how many seconds ago an export looked at the lake; None where none ever did.

    Raises: ConfigurationError, PostgresUnavailable (retry).
    """
    with postgres_errors("asking for the last look"), connect(url) as connection:
        try:
            row = connection.execute(_LAST_LOOK).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return None if row is None else row[0]


def is_due(connection: psycopg.Connection) -> bool:
    """Tell whether the last look is long enough ago."""
    return connection.execute(_IS_DUE, [EVERY]).fetchone() == (True,)


def write_health(
    connection: psycopg.Connection,
    root: LakePath,
    held: Held,
    log_ends: LogEnds,
    freshness: timedelta | None,
) -> None:
    """Write one row for each log.

    Shape: a topic that was made again has its end in the log that was heard of last.
    Units: `freshness` is how long after the log the last exported events were here.
    """
    ends = dict(log_ends())
    missing: dict[str, int] = dict(connection.execute(_MISSING).fetchall())
    connection.execute(_FORGET, [KEPT])
    for topic_id, events, dead_letters, recorded_at in connection.execute(_LOGS).fetchall():
        topic = _topic(root, topic_id)
        records = sum(
            _offsets(ranges) for log, ranges in held.covered.items() if log.topic_id == topic_id
        )
        holes = sum(
            _offsets(tiling.holes)
            for log, tiling in held.tilings.items()
            if log.topic_id == topic_id
        )
        values = [
            *(topic_id, topic, records, events, max(0, records - events - dead_letters)),
            *(dead_letters, missing.get(topic_id, 0), holes),
            _lag(topic_id, held, ends.pop(topic, None) if topic else None),
            recorded_at,
            None if freshness is None else freshness.total_seconds(),
        ]
        connection.execute(_WRITE, values)


def _topic(root: LakePath, topic_id: str) -> str | None:
    try:
        described = read_description(root, topic_id)
    except ConfigurationError:
        return None  # other commands say so
    return None if described is None else described.topic


def _offsets(ranges: Iterable[OffsetRange]) -> int:
    return sum(len(each) for each in ranges)


def _lag(topic_id: str, held: Held, ends: Mapping[int, int] | None) -> int | None:
    if ends is None:
        return None
    return sum(
        max(0, end - held.next_offset(topic_id, partition)) for partition, end in ends.items()
    )
