"""Rows of the log in PostgreSQL: recent events, errors, transcripts and dead letters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import psycopg

from runfold.sinks.postgres.lake_reader import LakeReader, literal, query
from runfold.sinks.postgres.large_documents import bring_in
from runfold.sinks.postgres.writing import Target, stage, upsert

_PLACE = ("topic_id", "partition", "log_offset")
_TABLES = {
    "events": Target("event_rows", key=_PLACE, json=("attributes",)),
    "errors": Target("error_rows", key=_PLACE),
    "transcripts": Target("transcript_rows", key=_PLACE, json=("content",)),
    "dead_letters": Target("dead_letters", key=_PLACE),
}


def export_rows(
    connection: psycopg.Connection,
    reader: LakeReader,
    recent_from: datetime,
    on_rows: Callable[[str, int], None],
) -> None:
    """Write what the tables of rows take of `new_rows`.

    Shape: of events those that the log took since `recent_from`.
    """
    for name, target in _TABLES.items():
        columns = stage(connection, reader, query(name, recent_from=literal(recent_from)), target)
        if name == "transcripts":
            bring_in(connection, reader.objects)
        on_rows(target.table, upsert(connection, columns, target))


def forget_old_events(connection: psycopg.Connection, recent_from: datetime) -> None:
    """Remove events that are no longer recent."""
    connection.execute(
        "delete from runfold.event_rows where recorded_at < %s and family is null", [recent_from]
    )
