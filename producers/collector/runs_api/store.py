"""The read model: what the log says of runs, in an SQLite file that may be deleted at any time.

Rows and the offsets that they are right for are written in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import orjson

from runfold.producers.collector.runs_api.file import RunsFile
from runfold.producers.collector.runs_api.mapping import KnownRun
from runfold.producers.collector.runs_api.rows import instants_of, row_of
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.lake import LogDescription
from runfold.schemas.run_state import RunState
from runfold.schemas.vocabulary import EventType

Fold = Callable[[RunState | None, LoggedEvent], RunState]
"""The workers' own fold, see `processors.fold`."""

_STATES_AT_HAND = 10_000
_AT_ONCE = 500
_PARTITION_BITS = 10


class Entry(NamedTuple):
    """Which run has an `event_id`, and where the log first has it."""

    name: str
    partition: int
    first_offset: int


class RunsStore:
    """Folds what it is given into rows. `apply` and `begin` are called by one thread at a time."""

    def __init__(self, file: RunsFile, fold: Fold) -> None:
        self.file = file
        self._fold = fold
        self._states: OrderedDict[str, RunState] = OrderedDict()

    def begin(self, log: LogDescription) -> dict[int, int]:
        """Return the offsets to follow `log` from; what is of another log is forgotten first."""
        with self.file.writing() as connection:
            connection.execute(
                "delete from followed_partitions where topic_id <> ?", [log.topic_id]
            )
            found = connection.execute("select partition, next_offset from followed_partitions")
            offsets = dict.fromkeys(range(log.partitions), 0) | dict(map(tuple, found))
            if not any(offsets.values()):
                for table in ("agent_runs", "followed_runs", "followed_events"):
                    connection.execute(f"delete from {table}")
        self._states.clear()
        return offsets

    def apply(
        self,
        topic_id: str,
        events: Iterable[tuple[int, LoggedEvent]],
        reached: Mapping[int, int],
    ) -> bool:
        """Take in events with their partitions; say whether a run came or changed.

        Shape: events of a partition in their order; `reached` has the next offset of partitions.
        What a commit alone changes does not count as a change.
        """
        changed = False
        try:
            with self.file.writing() as connection:
                for name, logged in _by_run(events).items():
                    changed |= self._apply_to_run(connection, name, logged)
                connection.executemany(
                    "insert or replace into followed_partitions values (?, ?, ?)",
                    [(topic_id, partition, offset) for partition, offset in reached.items()],
                )
        except BaseException:
            self._states.clear()  # they are ahead of what is written
            raise
        while len(self._states) > _STATES_AT_HAND:
            self._states.popitem(last=False)
        return changed

    def _apply_to_run(
        self, connection: sqlite3.Connection, name: str, logged: Sequence[tuple[int, LoggedEvent]]
    ) -> bool:
        found = connection.execute(
            "select event_id, id from followed_runs where name = ?", [name]
        ).fetchone()
        event_id, row_id = found if found else (None, 0)
        state = self._state_of(connection, name) if found else None
        changed = False
        for partition, each in logged:
            said = _identity(each.event)
            if event_id is None:
                event_id, row_id = said, each.offset << _PARTITION_BITS | partition
            is_another = said is not None and said != event_id
            if event_id is None or is_another or (state and each.event.event_id in state.seen):
                continue
            state = self._fold(state, each)
            connection.execute(
                "insert or replace into followed_events values (?, ?, ?, ?)",
                (name, each.offset, each.recorded_at, _packed(each.event)),
            )
            changed |= each.event.event_type != EventType.COMMIT_ASSOCIATED
        if state is not None and event_id is not None:
            self._states[name] = state
            self._states.move_to_end(name)
            _write(connection, name, event_id, row_id, state)
        return changed

    def _state_of(self, connection: sqlite3.Connection, name: str) -> RunState | None:
        state = self._states.get(name)
        if state is None:
            for packed, offset, recorded_at in connection.execute(
                'select event, "offset", recorded_at from followed_events where name = ? '
                'order by "offset"',
                [name],
            ):
                event = Event(**orjson.loads(packed))
                state = self._fold(state, LoggedEvent(event, offset, recorded_at))
        return state

    def entries(self, event_ids: Sequence[str]) -> dict[str, Entry]:
        """Return those of the runs that are there."""
        found = self._look_up(
            "select event_id, name, id from followed_runs f where event_id in ({}) "
            "and exists (select 1 from agent_runs a where a.id = f.id)",
            event_ids,
        )
        return {event_id: Entry(name, *_place(row_id)) for event_id, name, row_id in found}

    def owners(self, names: Sequence[str]) -> dict[str, str]:
        """Return the `event_id` of each of the names of the log that a run has."""
        return dict(
            self._look_up("select name, event_id from followed_runs where name in ({})", names)
        )

    def known(self, event_id: str, project: str | None = None) -> KnownRun | None:
        """Return a run with its state, None where there is none, or not in the project."""
        entry = self.entries([event_id]).get(event_id)
        if entry is None:
            return None
        with self.file.reading() as connection:
            state = self._state_of(connection, entry.name)
        if state is None or (project is not None and state.project != project):
            return None
        return KnownRun(event_id, entry.name, state)

    def _look_up(self, query: str, wanted: Sequence[str]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        with self.file.reading() as connection:
            for at in range(0, len(wanted), _AT_ONCE):
                part = wanted[at : at + _AT_ONCE]
                marks = ", ".join("?" * len(part))
                rows += map(tuple, connection.execute(query.format(marks), part))
        return rows


def _by_run(
    events: Iterable[tuple[int, LoggedEvent]],
) -> dict[str, list[tuple[int, LoggedEvent]]]:
    runs: dict[str, list[tuple[int, LoggedEvent]]] = {}
    for partition, each in events:
        runs.setdefault(each.event.run_id, []).append((partition, each))
    return runs


def _write(
    connection: sqlite3.Connection, name: str, event_id: str, row_id: int, state: RunState
) -> None:
    """Write a run; of runs that name one `event_id` the first in the log is the one that shows."""
    row = row_of(name, event_id, state)
    created_us, started_us = instants_of(row, state)
    address = state.attributes.get("git_url")
    connection.execute(
        "insert or replace into followed_runs values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row_id, name, event_id, state.first_recorded_at, created_us, started_us, state.project,
            address if isinstance(address, str) else None,
        ),
    )  # fmt: skip
    [(first,)] = connection.execute(
        "select id from followed_runs where event_id = ? order by recorded_us, id limit 1",
        [event_id],
    )
    if first == row_id:
        row = {"id": row_id, **row}
        connection.execute(
            f"insert or replace into agent_runs ({', '.join(row)}) "
            f"values ({', '.join('?' * len(row))})",
            list(row.values()),
        )


def _place(row_id: int) -> tuple[int, int]:
    return row_id & ((1 << _PARTITION_BITS) - 1), row_id >> _PARTITION_BITS


def _identity(event: Event) -> str | None:
    """Return the `event_id` that an event names as its run's."""
    try:
        attributes = orjson.loads(event.attributes or "{}")
    except orjson.JSONDecodeError:
        return None
    found = attributes.get("event_id") if isinstance(attributes, dict) else None
    return found if isinstance(found, str) else None


def _packed(event: Event) -> bytes:
    return orjson.dumps({key: value for key, value in asdict(event).items() if value is not None})
