"""The tables that an audit asks: one pass over the events of a lake, one over its states."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import duckdb
import pyarrow as pa

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema
from runfold.schemas.errors import LakeCorrupt, LakeUnavailable
from runfold.schemas.event_ids import HASH_BYTES, MINTED_ID_PATTERN
from runfold.schemas.offsets import Tile
from runfold.schemas.run_state import MOST_TOKENS, MOST_USD, TOKEN_FIELDS
from runfold.schemas.vocabulary import BLANKS, FAILED_TOOL_STATUSES, statuses_spelled
from runfold.sinks.audit.coverage import Place
from runfold.sinks.audit.report import Scope
from runfold.sinks.lake_connection import lake_connection
from runfold.sinks.lake_files import Kind, LakeFile
from runfold.sinks.object_path import LakePath
from runfold.sinks.views import EMPTY_EVENTS, EMPTY_STATES, duckdb_columns, without_globs

COUNTERS = (
    "events",
    "tools_started",
    "tools_ended",
    "tools_failed",
    "llm_calls",
    "decisions",
    "errors",
    "heartbeats",
    *TOKEN_FIELDS,
    "cost_nano_usd",
)
"""What the events of a run add up to."""

_MEMORY_LIMIT = "512MB"
_EVENT_COLUMNS = (
    *("run_id", "event_id", "event_type", "name", "status", "cost_usd", "attributes"),
    *("offset", "recorded_at", "dead_letter_reason"),
    *TOKEN_FIELDS,
)
_STATE_COLUMNS = ("run_id", "first_offset", "last_offset", "seen", "seen_hashes", *COUNTERS)


class AuditTables:
    """A DuckDB connection with `words`, `run_sums` and `newest_states`, see `sums.sql`."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, places: list[Place], scope: str
    ) -> None:
        self.places = places
        self.scope = scope
        """The condition that the `run_id` of a row in scope fulfils."""
        self._connection = connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the result of one question. Raises: LakeUnavailable, LakeCorrupt."""
        with _failures():
            return self._connection.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        """Return the only value of the result of `sql`."""
        [(value,)] = self.rows(sql)
        return value

    def give(self, name: str, table: pa.Table) -> None:
        """Let questions use `table` under a name."""
        self._connection.register(name, table)


@contextmanager
def audit_tables(
    root: LakePath, places: list[Place], scope: Scope, more_runs: Iterable[str]
) -> Iterator[AuditTables]:
    """Gather what the lake in `root` holds of `places`, for the runs in `scope`.

    Shape: of a scope since a time, `more_runs` are audited in any case.
    Memory: 512 MB and a file for what is more. Raises: LakeUnavailable, LakeCorrupt.
    """
    with tempfile.TemporaryDirectory(prefix="runfold-audit-") as folder:
        with lake_connection(root) as connection:
            with _failures():
                connection.execute(f"set memory_limit = '{_MEMORY_LIMIT}'")
                connection.execute("set temp_directory = $folder", {"folder": folder})
                connection.execute("set preserve_insertion_order = false")
                connection.execute("set timezone = 'UTC'")
                _name_files(connection, root, places)
                connection.execute(_text("tables.sql"))
                condition = _condition(connection, scope, more_runs)
                connection.execute(_sums(condition))
            yield AuditTables(connection, places, condition)


def _name_files(connection: duckdb.DuckDBPyConnection, root: LakePath, places: list[Place]) -> None:
    tiles = [
        (number, kind, each)
        for number, place in enumerate(places)
        for kind, tiling in ((Kind.EVENTS, place.events), (Kind.STATES, place.states))
        for each in tiling.tiles
        if each.range.first < place.end
    ]
    connection.register("tiles", _tiles_table(tiles, places))
    connection.register("beginnings", _beginnings_table(places))
    for kind, empty in ((Kind.EVENTS, EMPTY_EVENTS), (Kind.STATES, EMPTY_STATES)):
        # A file of no rows in front, so that there is one in any case.
        paths = [root / empty, *(each.source.path for _, of_kind, each in tiles if of_kind == kind)]
        names = [without_globs(path) for path in paths]
        connection.execute(f"set variable {kind[:-1]}_files = $names", {"names": names})


def _tiles_table(tiles: list[tuple[int, Kind, Tile[LakeFile]]], places: list[Place]) -> pa.Table:
    """Return the files with the offsets they are read for, up to where the states reach."""
    return pa.table(
        {
            "place": pa.array([number for number, _, _ in tiles], pa.int32()),
            "file": pa.array([str(each.source.path) for _, _, each in tiles], pa.string()),
            "first": pa.array([each.range.first for _, _, each in tiles], pa.int64()),
            "last": pa.array(
                [min(each.range.last, places[number].end - 1) for number, _, each in tiles],
                pa.int64(),
            ),
        }
    )


def _beginnings_table(places: list[Place]) -> pa.Table:
    """Return for each place the offset before which events were removed by age."""
    return pa.table(
        {
            "place": pa.array(range(len(places)), pa.int32()),
            "events_begin": pa.array([place.events_begin for place in places], pa.int64()),
        }
    )


def _text(name: str) -> str:
    return (
        (files("runfold.sinks.audit") / name)
        .read_text("utf-8")
        .format(
            minted=MINTED_ID_PATTERN,
            event_columns=duckdb_columns(_part(lake_event_schema(), _EVENT_COLUMNS)),
            state_columns=duckdb_columns(_part(lake_state_schema(), _STATE_COLUMNS)),
        )
    )


def _part(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _sums(scope: str) -> str:
    tokens = (
        f"sum({name}) filter ({name} between -{MOST_TOKENS} and {MOST_TOKENS}) as {name}"
        for name in TOKEN_FIELDS
    )
    failed = (spelling for each in FAILED_TOOL_STATUSES for spelling in statuses_spelled(each))
    return (
        (files("runfold.sinks.audit") / "sums.sql")
        .read_text("utf-8")
        .format(
            scope=scope,
            blanks=" || ".join(f"chr({ord(blank)})" for blank in BLANKS),
            failed=", ".join(f"'{spelling}'" for spelling in sorted(failed)),
            tokens=",\n       ".join(tokens),
            most_usd=f"{MOST_USD:e}",
            sums=", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in COUNTERS),
            counters=", ".join(COUNTERS),
            hash_bytes=HASH_BYTES,
        )
    )


def _condition(
    connection: duckdb.DuckDBPyConnection, scope: Scope, more_runs: Iterable[str]
) -> str:
    """Return the condition by which rows are chosen."""
    if scope.run_id is not None:
        connection.execute("set variable run_id = $run_id", {"run_id": scope.run_id})
        return "run_id = getvariable('run_id')"
    if scope.since is not None:
        connection.register("more_runs", pa.table({"run_id": pa.array(more_runs, pa.string())}))
        connection.execute(
            "create temp table wanted as select run_id from more_runs union "
            "select run_id from event_rows where recorded_at >= $since and run_id is not null",
            {"since": scope.since},
        )
        return "run_id in (from wanted)"
    return "true"


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except duckdb.IOException as error:  # a file may be compacted away after it was listed
        raise LakeUnavailable(f"the lake cannot be read: {error}") from error
    except duckdb.Error as error:
        raise LakeCorrupt(f"the lake cannot be read: {error}") from error
