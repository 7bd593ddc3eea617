"""Reading the service's SQLite file, in whichever of its shapes, while the service may write it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runfold.producers.importers.local_telemetry.sources import (
    BadRecord,
    Record,
    RecordKind,
    Source,
)

_TABLES = {
    "agent_runs": (RecordKind.RUN, {"run_id", "start_time"}),
    "run_events": (RecordKind.EVENT, {"run_id", "event_type", "timestamp"}),
    "commits": (RecordKind.COMMIT, {"run_id", "commit_hash"}),
}
_ROW = "row of the table"
_READ_VERSION_AT = 19  # of the file's header: 2 where there is a write-ahead log
_BEFORE_ALL = -(1 << 63)
_ROWS_AT_ONCE = 5_000
_PATIENCE_SECONDS = 30.0
_SHARED_RUN_IDS = """
select run_id, {event_id} as event_id, start_time from agent_runs
where run_id in (select run_id from agent_runs group by run_id having count(*) > 1)
"""


def read_database(source: Source, on_bytes: Callable[[int], None]) -> Iterator[Record | BadRecord]:
    """Yield the records of all tables.

    Shape: `agent_runs` has `run_id` or `id` as its key and the columns of whatever version; those
    that it has are read. What is damaged is told, and the tables beside it are read.
    """
    told = 0
    with _reported() as problems, _connection(source.path) as connection:
        if not _columns(connection, "agent_runs"):
            problems.append("no table agent_runs: this is no database of Local Telemetry")
        for table, (kind, needed) in _TABLES.items():
            if needed <= _columns(connection, table):
                for row, share in _rows(connection, table, problems):
                    place = f"{table} row {row.pop(_ROW)}"
                    yield Record(kind, row, source.path, place)
                    if table == "agent_runs":
                        reached = int(source.size_bytes * share)
                        on_bytes(reached - told)
                        told = reached
    on_bytes(source.size_bytes - told)
    for each in problems:
        yield BadRecord(source.path, "database", each)


def shared_run_ids(path: Path) -> Iterator[dict[str, Any]]:
    """Yield `run_id`, `event_id` and `start_time` of rows whose `run_id` others have too."""
    with _reported(), _connection(path) as connection:
        columns = _columns(connection, "agent_runs")
        if {"run_id", "start_time"} <= columns:
            event_id = "event_id" if "event_id" in columns else "null"
            for row in connection.execute(_SHARED_RUN_IDS.format(event_id=event_id)):
                yield dict(row)


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    if _is_at_rest(path):
        address += "&immutable=1"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        yield connection


def _is_at_rest(path: Path) -> bool:
    """Say whether a file is one with a write-ahead log that nobody has open.

    SQLite would make files beside it even to read it, which a backup's folder may not allow.
    """
    with path.open("rb") as stream:
        header = stream.read(_READ_VERSION_AT + 1)
    has_log = header[_READ_VERSION_AT:] == b"\x02"
    return has_log and not path.with_name(f"{path.name}-wal").exists()


@contextmanager
def _reported() -> Iterator[list[str]]:
    """Collect why a file cannot be read, instead of raising it."""
    problems: list[str] = []
    try:
        yield problems
    except (OSError, sqlite3.Error) as error:
        problems.append(f"cannot be read: {error}")


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row["name"] for row in connection.execute(f"pragma table_info({table})")}


def _rows(
    connection: sqlite3.Connection, table: str, problems: list[str]
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield rows and how far they are through the table; each read is short, for its writers."""
    last = _BEFORE_ALL
    try:
        [most] = connection.execute(f"select max(rowid) from {table}").fetchone()
        while True:
            found = connection.execute(
                f'select rowid as "{_ROW}", * from {table} where rowid > ? order by rowid limit ?',
                (last, _ROWS_AT_ONCE),
            ).fetchall()
            for row in found:
                last = row[_ROW]
                yield dict(row), min(max(last / (most or 1), 0.0), 1.0)
            if len(found) < _ROWS_AT_ONCE:
                return
    except sqlite3.Error as error:
        repair = "the rest may come out by: sqlite3 FILE .recover"
        problems.append(f"{table} cannot be read behind row {last}: {error}; {repair}")
