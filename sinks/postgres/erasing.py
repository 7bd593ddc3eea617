"""Removing runs from the tables of the export."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import psycopg
from psycopg import sql

from runfold.sinks.postgres.connecting import connect, postgres_errors
from runfold.sinks.postgres.migrations import LOCK

TABLES = ("run_rows", "event_rows", "error_rows", "transcript_rows", "dead_letters")
"""Those that have rows of runs; the others have figures, which a rebuild computes again."""

Choose = Callable[[Iterable[str | None]], set[str]]
"""Returns those of some run ids that are meant."""


def stored_runs(url: str, choose: Choose) -> dict[str, int]:
    """Return for each table how many runs of `choose` it has rows of.

    Raises: PostgresUnavailable (retry), PostgresRefused.
    """
    with postgres_errors("the tables cannot be read"), connect(url) as connection:
        return {table: len(_chosen(connection, table, choose)) for table in _there(connection)}


def erase_runs(url: str, choose: Choose) -> int:
    """Remove the rows of the runs of `choose`; return how many. Safe to repeat.

    Raises: PostgresUnavailable (retry), PostgresRefused.
    """
    removed = 0
    with postgres_errors("the rows cannot be removed"), connect(url) as connection:
        for table in _there(connection):
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
                runs = _chosen(connection, table, choose)
                done = connection.execute(
                    sql.SQL("delete from runfold.{} where run_id = any(%s)").format(
                        sql.Identifier(table)
                    ),
                    [sorted(runs)],
                )
                removed += done.rowcount
    return removed


def _there(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(
        "select table_name from information_schema.tables where table_schema = 'runfold'"
    ).fetchall()
    return [table for table in TABLES if (table,) in rows]


def _chosen(connection: psycopg.Connection, table: str, choose: Choose) -> set[str]:
    rows = connection.execute(
        sql.SQL("select distinct run_id from runfold.{}").format(sql.Identifier(table))
    )
    return choose(run_id for (run_id,) in rows)
