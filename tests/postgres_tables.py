"""What the export has written, for tests: its rows, and the same asked of the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from runfold.sinks.query import open_lake

TABLES = (
    *("run_rows", "event_rows", "error_rows", "transcript_rows", "dead_letters"),
    *("metrics_hourly", "points_5min", "logs_hourly", "spans_hourly", "tools_daily", "costs_daily"),
)

Row = dict[str, Any]


def rows_of(database: str, question: str) -> list[Row]:
    """Return what PostgreSQL answers."""
    with psycopg.connect(database, row_factory=dict_row) as connection:
        return connection.execute(question.encode()).fetchall()


def all_tables(database: str) -> dict[str, list[str]]:
    """Return the rows of every table, in a form and an order that can be compared."""
    return {
        table: sorted(map(repr, rows_of(database, f"select * from runfold.{table}")))
        for table in TABLES
    }


def rows_of_lake(root: Path, question: str) -> list[Row]:
    """Return what DuckDB answers over the lake."""
    with open_lake(root) as lake:
        return lake.rows(question)
