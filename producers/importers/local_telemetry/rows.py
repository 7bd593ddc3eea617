"""What a stored record says, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from runfold.producers.coercion import occurred_at_us
from runfold.producers.importers.lines import LineError, shown
from runfold.producers.local_telemetry_fields import parse_time
from runfold.schemas.vocabulary import TERMINAL_STATUSES, RunStatus, canonical_status

EVENT_ID_PREFIX = "lt-"
_LONGEST_IDENTITY = 200
_KNOWN_STATUSES = frozenset(each.value for each in RunStatus)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run as far as one record knows it.

    Shape: `identity` is the `event_id`, in old records without one the `run_id`. `ended_at` is
    None where the record says that it goes on.
    Units: times in microseconds since 1970 UTC.
    """

    identity: str
    run_id: str
    started_at: int
    ended_at: int | None
    status: str
    values: Mapping[str, Any]

    def event_id(self, what: str) -> str:
        """Return the id of one of its events, the same in every import."""
        return f"{EVENT_ID_PREFIX}{shortened_id(self.identity)}-{what}"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Something that an agent logged. Units: `at` in microseconds since 1970 UTC."""

    run_id: str
    at: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """A row of the table `commits`. Units: `at` in microseconds since 1970 UTC."""

    run_id: str
    at: int
    values: Mapping[str, Any]


Stored = StoredRun | StoredEvent | StoredCommit


def run_of(values: Mapping[str, Any]) -> StoredRun:
    """Return the run of a record. Raises: LineError."""
    run_id = _text(values, "run_id")
    event_id = values.get("event_id")
    if event_id is not None and not isinstance(event_id, str):
        raise LineError(f"event_id is {shown(event_id)}, not a text")
    first = "start_time" if values.get("start_time") else "created_at"
    return run_at({**values, "event_id": event_id or run_id}, _time(values, first))


def run_at(values: Mapping[str, Any], started_at: int) -> StoredRun:
    """Return the run of a record with `event_id` and `run_id` that started at a known time.

    Units: `started_at` in microseconds since 1970 UTC.
    """
    status = status_of(values)
    return StoredRun(
        identity=values["event_id"],
        run_id=values["run_id"],
        started_at=started_at,
        ended_at=_end_of(values, started_at) if status in TERMINAL_STATUSES else None,
        status=status,
        values=values,
    )


def event_of(values: Mapping[str, Any]) -> StoredEvent:
    """Return the logged event of a record. Raises: LineError."""
    _text(values, "event_type")
    return StoredEvent(_text(values, "run_id"), _time(values, "timestamp"), values)


def commit_of(values: Mapping[str, Any]) -> StoredCommit:
    """Return the commit of a row of the table `commits`. Raises: LineError."""
    _text(values, "commit_hash")
    when = "commit_date" if values.get("commit_date") else "created_at"
    return StoredCommit(_text(values, "run_id"), _time(values, when), values)


def status_of(values: Mapping[str, Any]) -> str:
    """Return the status of a record; one that nobody knows is a failure where the run ended."""
    said = values.get("status")
    status = canonical_status(said) if isinstance(said, str) else ""
    if status in _KNOWN_STATUSES:
        return status
    return RunStatus.FAILURE if values.get("end_time") else RunStatus.RUNNING


def doubtful_fields(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what tells how a run ended and cannot be taken as it is."""
    if values.get("status") and canonical_status(str(values["status"])) not in _KNOWN_STATUSES:
        yield "status"
    if values.get("end_time") and _microseconds(values["end_time"]) is None:
        yield "end_time"


def shortened_id(text: str) -> str:
    """Return a text that may be part of an id, by its digest where it is long."""
    if len(text) <= _LONGEST_IDENTITY:
        return text
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _end_of(values: Mapping[str, Any], started_at: int) -> int:
    """Return when a run ended, from whatever tells."""
    ended_at = _microseconds(values.get("end_time"))
    if ended_at is not None:
        return ended_at
    duration_ms = values.get("duration_ms")
    if isinstance(duration_ms, int) and 0 < duration_ms < 10**12:
        return started_at + duration_ms * 1000
    return max(_microseconds(values.get("updated_at")) or started_at, started_at)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None or value == "":
        raise LineError(f"{name} is missing")
    if not isinstance(value, str):
        raise LineError(f"{name} is {shown(value)}, not a text")
    return value


def _time(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if value is None or value == "":
        raise LineError(f"{name} is missing")
    if parse_time(value) is None:
        raise LineError(f"{name} is {shown(value)}, not a time")
    at = _microseconds(value)
    if at is None:
        raise LineError(f"{name} {shown(value)} is outside the years 2000 to 2199")
    return at


def _microseconds(value: Any) -> int | None:
    found = parse_time(value)
    return None if found is None else occurred_at_us(found)
