"""The lake as the export reads it: a DuckDB that holds what a step is about."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema
from runfold.schemas.errors import LakeUnavailable
from runfold.schemas.offsets import LogPartition
from runfold.sinks.fold_words import fold_words
from runfold.sinks.lake_connection import lake_connection
from runfold.sinks.lake_files import REMAINS_DATE, check_lake
from runfold.sinks.object_path import LakePath
from runfold.sinks.objects import LakeObjects
from runfold.sinks.postgres.held import Piece
from runfold.sinks.views import (
    EMPTY_EVENTS,
    EMPTY_STATES,
    duckdb_columns,
    listed_views_sql,
    listing_sql,
    without_globs,
)

_MEMORY_LIMIT = "1GB"


class RowCounts(NamedTuple):
    """What the rows of one partition are, and when the log took the last one."""

    events: int
    dead_letters: int
    recorded_at: datetime
    topic_id: str
    partition: int


class LakeReader:
    """Holds, in DuckDB, the rows of a step and the names that runs go by. Not thread-safe.

    Shape: `new_rows` and `new_states` are tables of what was read last; `run_names` has agent,
    project and parent of every run; `events` is the view over the whole lake.
    """

    def __init__(
        self, root: LakePath, connection: duckdb.DuckDBPyConnection, scratch: Path
    ) -> None:
        self._root = root
        self._connection = connection
        self._scratch = scratch
        self.objects = LakeObjects(root)

    def read_events(self, pieces: Sequence[Piece]) -> None:
        """Make `new_rows`: the rows of some offsets."""
        self._name_pieces(pieces)
        self._run(
            f"""
            create or replace temp table new_rows as
            select rows.* exclude (file), pieces.topic_id
            from read_parquet($paths, filename = 'file', schema = map {{
            {duckdb_columns(lake_event_schema())}
            }}) as rows
            join pieces on rows.file = pieces.file
                 and rows."offset" between pieces.first and pieces.last
            """,
            {"paths": self._paths(EMPTY_EVENTS, pieces)},
        )

    def read_states(self, pieces: Sequence[Piece]) -> None:
        """Make `new_states`: the states of the runs whose last event is at some offsets.

        The names that these runs go by are those of `run_names` from then on.
        """
        self._name_pieces(pieces)
        self._run(
            f"""
            create or replace temp table new_states as
            select rows.* exclude (file), pieces.topic_id, pieces.partition
            from read_parquet($paths, filename = 'file', schema = map {{
            {duckdb_columns(lake_state_schema())}
            }}) as rows
            join pieces on rows.file = pieces.file
                 and rows.last_offset between pieces.first and pieces.last
            """,
            {"paths": self._paths(EMPTY_STATES, pieces)},
        )
        self._run(
            """
            insert or replace into run_names
            select run_id, parent_run_id, agent_name, project from new_states
            qualify row_number() over (partition by run_id
                                       order by last_recorded_at desc, topic_id desc,
                                                last_offset desc) = 1
            """
        )

    def _name_pieces(self, pieces: Sequence[Piece]) -> None:
        columns = {
            "file": pa.array([str(each.file.path) for each in pieces], pa.string()),
            "topic_id": pa.array([each.file.log.topic_id for each in pieces], pa.string()),
            "partition": pa.array([each.file.log.partition for each in pieces], pa.int32()),
            "first": pa.array([each.offsets.first for each in pieces], pa.int64()),
            "last": pa.array([each.offsets.last for each in pieces], pa.int64()),
        }
        self.give("pieces", pa.table(columns))

    def _paths(self, empty: str, pieces: Sequence[Piece]) -> list[str]:
        # A file of no rows in front, so that there is one in any case.
        paths = [self._root / empty, *sorted({each.file.path for each in pieces})]
        return [without_globs(path) for path in paths]

    def refresh(self) -> None:
        """List the lake again, for the views."""
        self._run(listing_sql(self._root))

    def learn_names(self) -> None:
        """Make the views over the lake as it serves now, and `run_names` of all its states."""
        self._run(listed_views_sql(self._root))
        self.refresh()
        self._run(
            """
            create or replace temp table run_names (
                run_id varchar primary key, parent_run_id varchar, agent_name varchar,
                project varchar
            );
            insert into run_names
            select run_id, parent_run_id, agent_name, project from lake_states
            """
        )

    def counts_of_new_rows(self) -> list[RowCounts]:
        """Return what `new_rows` are, by partition."""
        counted = self.rows(
            """
            select count(*) filter (dead_letter_reason is null), count(dead_letter_reason),
                   max(recorded_at), topic_id, partition
            from new_rows group by topic_id, partition
            """
        )
        return [RowCounts(*each) for each in counted]

    def row_counts(self, ends: list[tuple[str, int, int]]) -> dict[tuple[str, int], int]:
        """Return how many rows the lake has of each partition before an offset.

        Shape: `ends` has topic id, partition and that offset.
        """
        return {
            (topic_id, partition): events + dead_letters
            for topic_id, partition, end in ends
            for _, events, dead_letters in [
                self.what_is_left(LogPartition(topic_id, partition), end)
            ]
        }

    def what_is_left(self, log: LogPartition, end: int) -> tuple[datetime | None, int, int]:
        """Return since when the lake has rows of `log`, and its events and dead letters.

        Shape: of the offsets before `end`.
        """
        [row] = self.rows(
            f"""
            select min(recorded_at), count(*) - count(dead_letter_reason), count(dead_letter_reason)
            from lake_rows where topic_id = $topic_id and partition = $partition and "offset" < $end
            and date <> '{REMAINS_DATE.removeprefix("date=")}'
            """,
            {"topic_id": log.topic_id, "partition": log.partition, "end": end},
        )
        return row[0], row[1], row[2]

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return what a question gives."""
        with _lake_failures():
            return self._connection.execute(sql, parameters or {}).fetchall()

    def give(self, name: str, table: pa.Table) -> None:
        """Let questions use `table` under a name."""
        self._connection.register(name, table)

    def _run(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        with _lake_failures():
            self._connection.execute(sql, parameters or {})

    def as_csv(self, sql: str) -> tuple[list[str], Path]:
        """Write what a question gives to a CSV file; return its columns and the file.

        Shape: as PostgreSQL reads it: no NUL characters, and times from year 1 to 9999.
        """
        path = self._scratch / "rows.csv"
        with _lake_failures():
            relation = self._connection.sql(sql)
            chosen = ", ".join(
                _as_taken(name, str(kind))
                for name, kind in zip(relation.columns, relation.types, strict=True)
            )
            self._connection.execute(
                f"copy (select {chosen} from ({sql})) to '{path}' (format csv, header false)"
            )
        return relation.columns, path


def _as_taken(name: str, kind: str) -> str:
    if kind == "VARCHAR":
        return f'replace("{name}", chr(0), \'�\') as "{name}"'
    if kind == "TIMESTAMP WITH TIME ZONE":
        first, last = "timestamptz '0001-01-01 00:00:00+00'", "timestamptz '9999-12-31 23:59:59+00'"
        return f'if("{name}" is null, null, least(greatest("{name}", {first}), {last})) as "{name}"'
    return f'"{name}"'


def query(name: str, **given: str) -> str:
    """Return one of our questions, with the words of the fold and what is given filled in."""
    text = files("runfold.sinks.postgres").joinpath("queries", f"{name}.sql").read_text("utf-8")
    return text.format(**fold_words(), **given)


def literal(moment: datetime) -> str:
    """Return a time as DuckDB reads it."""
    return f"timestamptz '{moment.isoformat()}'"


@contextmanager
def _lake_failures() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise LakeUnavailable(f"the lake cannot be read: {error}") from error


@contextmanager
def open_reader(root: LakePath) -> Iterator[LakeReader]:
    """Open the lake in `root` for an export. Raises: LakeUnavailable where there is none."""
    check_lake(root)
    with tempfile.TemporaryDirectory(prefix="runfold-export-") as folder:
        with lake_connection(root) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"set memory_limit = '{_MEMORY_LIMIT}'")
            connection.execute("set temp_directory = $folder", {"folder": folder})
            reader = LakeReader(root, connection, Path(folder))
            reader.learn_names()
            yield reader


def times_within(column: str, buckets: Sequence[datetime], last_length: str) -> str:
    """Return a condition that holds for no time outside the buckets, to pass over files."""
    first, last = literal(min(buckets)), literal(max(buckets))
    return f"({column} >= {first} and {column} < {last} + interval '{last_length}')"
