"""Emptying the tables of the export, to fill them again."""

from __future__ import annotations

from datetime import datetime

import psycopg
from psycopg import sql

from runfold.sinks.postgres.stale import FIGURES

_ROWS = {
    "run_rows": "last_recorded_at",
    "event_rows": "recorded_at",
    "error_rows": "recorded_at",
    "transcript_rows": "recorded_at",
    "dead_letters": "recorded_at",
}
"""The tables of rows, and by which time a row belongs to what the lake still holds."""


def empty_tables(connection: psycopg.Connection, kept_from: datetime | None) -> None:
    """Remove all that the lake can give again; readers are not held up by it.

    Shape: rows that are older than `kept_from` and figures that are frozen it cannot give again.
    """
    for table, time in _ROWS.items():
        emptied = sql.SQL("delete from runfold.{} where true").format(sql.Identifier(table))
        if kept_from is not None:
            emptied += sql.SQL(" and {} >= {}").format(sql.Identifier(time), kept_from)
        connection.execute(emptied)
    for each in FIGURES:
        connection.execute(
            sql.SQL(
                "delete from runfold.{} where {} not in"
                " (select bucket from runfold.frozen_buckets where what = {})"
            ).format(sql.Identifier(each.table), sql.Identifier(each.column), each.table)
        )
    connection.execute("delete from runfold.stale_buckets")
    connection.execute("delete from runfold.watermarks")
