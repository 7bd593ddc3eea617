"""The SQLite file of the read model: made, opened, locked for one process."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

import structlog

from runfold.producers.compat.local_telemetry.schema import create_schema
from runfold.schemas.errors import ConfigurationError

_VERSION = 1
"""Of what is ours in the file; a file of another version is made anew."""
_MOST_COLLECTORS = 64
_OURS = """
create table if not exists followed_runs (
    id integer primary key, name text not null unique, event_id text not null,
    recorded_us integer, created_us integer not null, started_us integer not null,
    project text, git_url text
);
create index if not exists followed_runs_event on followed_runs (event_id, recorded_us, id);
create index if not exists followed_runs_created on followed_runs (created_us desc, id desc);
create table if not exists followed_events (
    name text not null, "offset" integer not null, recorded_at integer not null,
    event blob not null, primary key (name, "offset")
) without rowid;
create table if not exists followed_partitions (
    topic_id text not null, partition integer not null, next_offset integer not null,
    primary key (topic_id, partition)
);
"""


class RunsFile:
    """One writing connection, and one for each thread that reads.

    Shape: `path` is the file asked for, or `<name>-2` and so on where another process has it.
    """

    def __init__(self, wanted: Path) -> None:
        """Open the file, which is made where it is missing and made anew where it is damaged.

        Raises: ConfigurationError where it cannot be written.
        """
        try:
            wanted.parent.mkdir(parents=True, exist_ok=True)
            self.path, self._lock = _locked(wanted)
            self._writer = self._opened()
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{wanted} cannot be written: {error}") from error
        self._readers: list[sqlite3.Connection] = []
        self._of_thread = threading.local()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection that writes, in a transaction of its own. Raises: sqlite3.Error."""
        with self._writer:
            self._writer.execute("begin immediate")
            yield self._writer

    def reader(self) -> sqlite3.Connection:
        """Return this thread's connection, which each query of sees what is written by then."""
        connection: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = _connected(self.path)
            connection.execute("pragma query_only = on")
            self._readers.append(connection)
        return connection

    def close(self) -> None:
        """Close all connections and let the file go."""
        for connection in (*self._readers, self._writer):
            connection.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _opened(self) -> sqlite3.Connection:
        try:
            return _prepared(self.path)
        except sqlite3.DatabaseError as error:
            structlog.get_logger(__name__).warning(
                "the read model is made anew", file=str(self.path), error=str(error)
            )
        for ending in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + ending).unlink()
        return _prepared(self.path)


def _prepared(path: Path) -> sqlite3.Connection:
    connection = _connected(path)
    try:
        [(version,)] = connection.execute("pragma user_version")
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"it has version {version}, not {_VERSION}")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        made, messages = create_schema(path)
        if not made:
            raise sqlite3.DatabaseError("; ".join(messages))
        connection.executescript(_OURS)
        connection.execute(f"pragma user_version = {_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def _locked(wanted: Path) -> tuple[Path, IO[bytes]]:
    """Return the first file of that name that no other process uses, and the lock on it."""
    for number in range(1, _MOST_COLLECTORS + 1):
        path = wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")
        lock = path.with_suffix(".lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return path, lock
    raise ConfigurationError(f"{_MOST_COLLECTORS} collectors use {wanted.parent} already")
