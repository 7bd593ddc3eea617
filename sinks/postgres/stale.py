"""Figures of hours and days: which are stale, and computing them again from the lake.

An event that comes late makes its hour stale, however long ago that was. A figure is never added
to: it is computed from all events of its hour or day, so what comes twice counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
import pyarrow as pa
from psycopg import sql

from runfold.sinks.postgres.lake_reader import LakeReader, query, times_within
from runfold.sinks.postgres.writing import Target, stage, upsert


@dataclass(frozen=True, slots=True)
class Figures:
    """A table of figures: the length of its buckets, and which events contribute to it."""

    table: str
    length: str
    column: str
    contributes: str

    @property
    def is_daily(self) -> bool:
        """Whether a bucket is a date."""
        return self.length == "1 day"


FIGURES = (
    Figures("metrics_hourly", "1 hour", "hour", "event_type = 'metric.recorded'"),
    Figures("points_5min", "5 minutes", "bucket", "event_type = 'metric.recorded'"),
    Figures("logs_hourly", "1 hour", "hour", "event_type = 'log.written'"),
    Figures(
        "spans_hourly",
        "1 hour",
        "hour",
        "(event_type = 'span.ended' or contains(attributes, '\"span.kind\"')"
        " or (event_type in ('custom', 'error.raised')"
        " and contains(attributes, '\"system.project_name\"')))",
    ),
    Figures("tools_daily", "1 day", "day", "event_type = 'tool.ended'"),
    Figures(
        "costs_daily",
        "1 day",
        "day",
        "(event_type = 'llm.called' or cost_usd is not null or input_tokens is not null"
        " or output_tokens is not null or cache_read_tokens is not null"
        " or cache_write_tokens is not null or reasoning_tokens is not null)",
    ),
)


_TAKEN = """
with taken as (delete from runfold.stale_buckets where what = %(table)s returning bucket)
select bucket from taken
except select bucket from runfold.frozen_buckets where what = %(table)s
"""


def note_stale(connection: psycopg.Connection, reader: LakeReader, events: str) -> None:
    """Note which figures are stale because of some events.

    Shape: `events` is what follows the columns of a question to DuckDB, a condition at its end.
    """
    found = [
        (each.table, bucket)
        for each in FIGURES
        for (bucket,) in reader.rows(
            f"select distinct time_bucket(interval '{each.length}', occurred_at) {events}"
            f" and {each.contributes}"
        )
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into runfold.stale_buckets (what, bucket) values (%s, %s)"
            " on conflict do nothing",
            found,
        )


def freeze(connection: psycopg.Connection, before: datetime) -> None:
    """Let the figures of all hours and days that began `before` stay as they are."""
    for each in FIGURES:
        connection.execute(
            sql.SQL(
                "insert into runfold.frozen_buckets (what, bucket)"
                " select distinct {}, {} from runfold.{} where {} < {} on conflict do nothing"
            ).format(
                sql.Literal(each.table),
                sql.SQL("{}::timestamp at time zone 'UTC'" if each.is_daily else "{}").format(
                    sql.Identifier(each.column)
                ),
                sql.Identifier(each.table),
                sql.Identifier(each.column),
                sql.Literal(before),
            )
        )


def stale_figures(connection: psycopg.Connection) -> list[Figures]:
    """Return those of `FIGURES` that are stale for some bucket."""
    stale = connection.execute("select distinct what from runfold.stale_buckets").fetchall()
    return [each for each in FIGURES if (each.table,) in stale]


def compute_stale(connection: psycopg.Connection, reader: LakeReader, figures: Figures) -> int:
    """Compute what is stale of `figures` and not frozen again, from the lake as it is now.

    Shape: returns how many rows there are of it.
    """
    taken = connection.execute(_TAKEN, {"table": figures.table}).fetchall()
    if not taken:
        return 0
    reader.refresh()
    return _compute(connection, reader, figures, [bucket for (bucket,) in taken])


def _compute(
    connection: psycopg.Connection, reader: LakeReader, figures: Figures, buckets: list[datetime]
) -> int:
    reader.give("stale", pa.table({"bucket": pa.array(buckets, pa.timestamp("us", tz="UTC"))}))
    within = times_within("e.occurred_at", buckets, figures.length)
    target = Target(figures.table)
    columns = stage(connection, reader, query(figures.table, within=within), target)
    connection.execute(
        sql.SQL("delete from runfold.{} where {} = any(%s)").format(
            sql.Identifier(figures.table), sql.Identifier(figures.column)
        ),
        [[bucket.date() for bucket in buckets] if figures.is_daily else buckets],
    )
    return upsert(connection, columns, target)
