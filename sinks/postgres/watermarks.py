"""How far the export has come: the offsets of each log that PostgreSQL has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from runfold.schemas.offsets import LogPartition, OffsetRange, merge_ranges
from runfold.sinks.lake_files import Kind
from runfold.sinks.postgres.lake_reader import RowCounts

Exported = dict[LogPartition, list[OffsetRange]]


def read_watermarks(connection: psycopg.Connection, kind: Kind) -> Exported:
    """Return the offsets of each log that were exported."""
    rows = connection.execute(
        "select topic_id, partition, exported from runfold.watermarks where kind = %s", [kind.value]
    )
    return {
        LogPartition(topic_id, partition): [
            OffsetRange(each.lower, each.upper - 1) for each in exported
        ]
        for topic_id, partition, exported in rows
    }


def write_watermarks(
    connection: psycopg.Connection, kind: Kind, exported: Mapping[LogPartition, list[OffsetRange]]
) -> None:
    """Note what is exported of some logs."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into runfold.watermarks as w (kind, topic_id, partition, exported, next_offset)
            values (%s, %s, %s, %s::int8multirange, %s)
            on conflict (kind, topic_id, partition) do update
            set exported = excluded.exported, next_offset = excluded.next_offset,
                exported_at = now()
            """,
            [
                (kind.value, log.topic_id, log.partition, _text(ranges), ranges[-1].next_offset)
                for log, ranges in exported.items()
            ],
        )


def count_rows(connection: psycopg.Connection, counts: Sequence[RowCounts]) -> None:
    """Add to the counts of what was exported."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            update runfold.watermarks
            set events = events + %s, dead_letters = dead_letters + %s,
                recorded_at = greatest(recorded_at, %s)
            where kind = 'events' and topic_id = %s and partition = %s
            """,
            counts,
        )


def _text(ranges: Sequence[OffsetRange]) -> str:
    return "{" + ",".join(f"[{each.first},{each.next_offset})" for each in ranges) + "}"


def with_more(exported: Exported, more: Mapping[LogPartition, list[OffsetRange]]) -> Exported:
    """Return the logs of `more` with what is exported of them when that is, too."""
    return {log: merge_ranges([*exported.get(log, ()), *ranges]) for log, ranges in more.items()}
