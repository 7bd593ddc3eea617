"""Rows on their way from DuckDB into a table of PostgreSQL: CSV, COPY into a stage, upsert."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from runfold.sinks.postgres.lake_reader import LakeReader

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """A table, what tells its rows apart, and which of its columns hold JSON.

    Shape: rows of a log have a fixed content and are written once (`newer` is empty); of others
    the newer one is kept: `newer` is a condition over `old` and `new`.
    """

    table: str
    key: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    newer: str = ""


def stage(
    connection: psycopg.Connection, reader: LakeReader, question: str, target: Target
) -> list[str]:
    """Copy what a question gives into the temporary table `stage`; return its columns.

    Shape: the stage is like the target, but for JSON, which is text there. It is gone with the
    transaction, or with the next stage.
    """
    columns, path = reader.as_csv(question)
    chosen = (
        sql.SQL("{0}::text as {0}" if name in target.json else "{0}").format(sql.Identifier(name))
        for name in columns
    )
    connection.execute("drop table if exists pg_temp.stage")
    connection.execute(
        sql.SQL(
            "create temp table stage on commit drop as select {} from runfold.{} limit 0"
        ).format(sql.SQL(", ").join(chosen), sql.Identifier(target.table))
    )
    with connection.cursor() as cursor:
        with cursor.copy("copy pg_temp.stage from stdin (format csv)") as copy:
            with path.open("rb") as rows:
                while block := rows.read(_BLOCK_BYTES):
                    copy.write(block)
    return columns


def upsert(connection: psycopg.Connection, columns: list[str], target: Target) -> int:
    """Put the rows of the stage into the target; return how many rows it changed."""
    names = [sql.Identifier(name) for name in columns]
    values = [
        sql.SQL("runfold.json_of({})").format(name) if column in target.json else name
        for column, name in zip(columns, names, strict=True)
    ]
    statement = sql.SQL("insert into runfold.{} as old ({}) select {} from pg_temp.stage").format(
        sql.Identifier(target.table), sql.SQL(", ").join(names), sql.SQL(", ").join(values)
    )
    if target.key:
        statement += sql.SQL(" on conflict ({}) ").format(
            sql.SQL(", ").join(map(sql.Identifier, target.key))
        )
        statement += _newer_wins(columns, target) if target.newer else sql.SQL("do nothing")
    return connection.execute(statement).rowcount


def _newer_wins(columns: list[str], target: Target) -> sql.Composed:
    changes = (
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
        for name in columns
        if name not in target.key
    )
    return sql.SQL("do update set {} where {}").format(
        sql.SQL(", ").join(changes),
        sql.SQL(target.newer),
    )
