"""The files that the Local Telemetry client and its service leave behind, and their records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from runfold.producers.importers.lines import BadLine, read_objects
from runfold.schemas.errors import ConfigurationError

_SQLITE = b"SQLite format 3\x00"
_DATABASE_SUFFIXES = (".sqlite", ".sqlite3", ".db")
_LINES_SUFFIXES = (".ndjson", ".jsonl.active", ".jsonl.ready", ".jsonl.synced")


@dataclass(frozen=True, slots=True)
class Source:
    """One file. Units: `size_bytes` is its size when the import began."""

    path: Path
    size_bytes: int
    is_database: bool


class RecordKind(StrEnum):
    """What a record speaks of."""

    RUN = "run"
    EVENT = "event"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was stored. Shape: `place` is a line's number, or a table and a row."""

    kind: RecordKind
    values: dict[str, Any]
    path: Path
    place: str


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One record that was left out, and why."""

    path: Path
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.place}: {self.reason}"


def find_sources(path: Path) -> list[Source]:
    """Return the files in the folder `path` and below, or the one that `path` is.

    Shape: what the agents wrote themselves (NDJSON and buffer files, by date) comes before the
    databases, since the service has lost fields and ends of runs that the agents have.
    Raises: ConfigurationError where there is nothing to read, or nobody may read it.
    """
    try:
        if path.is_dir():
            files = [each for each in path.rglob("*") if _may_be_one(each)]
        elif path.exists():
            files = [path]
        else:
            raise ConfigurationError(f"{path}: no such file or folder")
        found = [Source(each, each.stat().st_size, _is_database(each)) for each in files]
    except OSError as error:
        raise ConfigurationError(f"{error.filename or path}: {error.strerror or error}") from error
    named = [each for each in found if each.is_database or not _names_a_database(each.path)]
    return sorted(named, key=lambda each: (each.is_database, each.path.name, each.path))


def read_lines(source: Source, on_bytes: Callable[[int], None]) -> Iterator[Record | BadRecord]:
    """Yield the records of a file of lines. Raises: OSError where it cannot be read."""
    for number, found in read_objects(source.path, source.size_bytes, constants=True):
        if isinstance(found, BadLine):
            yield BadRecord(source.path, str(number), found.reason)
            continue
        kind = _kind_of(found)
        if kind is None:
            reason = "neither a run nor an event: it has no start_time and no event_type"
            yield BadRecord(source.path, str(number), reason)
        else:
            yield Record(kind, found, source.path, str(number))
    on_bytes(source.size_bytes)


def _kind_of(values: dict[str, Any]) -> RecordKind | None:
    named = values.get("record_type")
    if named in (RecordKind.RUN.value, RecordKind.EVENT.value):
        return RecordKind(named)
    if "start_time" in values:
        return RecordKind.RUN
    return RecordKind.EVENT if "event_type" in values else None


def _may_be_one(path: Path) -> bool:
    return path.name.endswith((*_DATABASE_SUFFIXES, *_LINES_SUFFIXES)) and path.is_file()


def _names_a_database(path: Path) -> bool:
    return path.name.endswith(_DATABASE_SUFFIXES)


def _is_database(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_SQLITE)) == _SQLITE
