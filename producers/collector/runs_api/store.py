"""The read model: what the log says of runs, in an SQLite file that may be deleted at any time.

Rows and the offsets that they are right for are written in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import orjson

from runfold.producers.collector.runs_api.file import RunsFile
from runfold.producers.collector.runs_api.mapping import KnownRun
from runfold.producers.collector.runs_api.tables import (
    FollowedRun,
    events_of,
    look_up,
    write_events,
    write_reached,
    write_runs,
)
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.lake import LogDescription
from runfold.schemas.run_state import RunState
from runfold.schemas.vocabulary import EventType

Fold = Callable[[RunState | None, LoggedEvent], RunState]
"""The workers' own fold, see `processors.fold`."""

_RUNS_AT_HAND = 10_000
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
        self._runs: OrderedDict[str, FollowedRun] = OrderedDict()

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
        self._runs.clear()
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
        by_run = _by_run(events)
        changed: list[FollowedRun] = []
        taken: list[LoggedEvent] = []
        with self.file.writing() as connection:
            known = self._known(connection, list(by_run))
            for name, logged in by_run.items():
                run, new = self._folded(known.get(name), logged)
                if run is not None and new:
                    changed.append(run)
                    taken += new
            write_events(connection, taken)
            write_runs(connection, changed)
            write_reached(connection, topic_id, reached)
        self._keep_at_hand(changed)
        return any(each.event.event_type != EventType.COMMIT_ASSOCIATED for each in taken)

    def _folded(
        self, run: FollowedRun | None, logged: Sequence[tuple[int, LoggedEvent]]
    ) -> tuple[FollowedRun | None, list[LoggedEvent]]:
        """Return what a run becomes, and which of the events have made it that."""
        taken: list[LoggedEvent] = []
        for partition, each in logged:
            said = _identity(each.event)
            if run is not None:
                if said not in (None, run.event_id) or each.event.event_id in run.state.seen:
                    continue
                run = run._replace(state=self._fold(run.state, each))
            elif said is not None:
                row_id = each.offset << _PARTITION_BITS | partition
                run = FollowedRun(row_id, each.event.run_id, said, self._fold(None, each))
            else:
                continue
            taken.append(each)
        return run, taken

    def _known(
        self, connection: sqlite3.Connection, names: Sequence[str]
    ) -> dict[str, FollowedRun]:
        """Return the runs of those names that are there, from the file where not at hand."""
        known = {name: run for name in names if (run := self._runs.get(name)) is not None}
        found = look_up(
            connection,
            "select name, event_id, id from followed_runs where name in ({})",
            [name for name in names if name not in known],
        )
        for name, event_id, row_id in found:
            state: RunState | None = None
            state = reduce(self._fold, events_of(connection, name), state)
            if state is not None:
                known[name] = FollowedRun(row_id, name, event_id, state)
        return known

    def _keep_at_hand(self, runs: Iterable[FollowedRun]) -> None:
        """Spare runs that have just changed from being folded anew, once they are written."""
        for each in runs:
            self._runs[each.name] = each
            self._runs.move_to_end(each.name)
        while len(self._runs) > _RUNS_AT_HAND:
            self._runs.popitem(last=False)

    def entries(self, event_ids: Sequence[str]) -> dict[str, Entry]:
        """Return those of the runs that are there."""
        found = look_up(
            self.file.reader(),
            "select event_id, name, id from followed_runs f where event_id in ({}) "
            "and exists (select 1 from agent_runs a where a.id = f.id)",
            event_ids,
        )
        return {event_id: Entry(name, *_place(row_id)) for event_id, name, row_id in found}

    def owners(self, names: Sequence[str]) -> dict[str, str]:
        """Return the `event_id` of each of the names of the log that a run has."""
        query = "select name, event_id from followed_runs where name in ({})"
        return dict(look_up(self.file.reader(), query, names))

    def known(self, event_id: str, project: str | None = None) -> KnownRun | None:
        """Return a run with its state, None where there is none, or not in the project."""
        entry = self.entries([event_id]).get(event_id)
        if entry is None:
            return None
        run = self._known(self.file.reader(), [entry.name]).get(entry.name)
        if run is None or (project is not None and run.state.project != project):
            return None
        return KnownRun(event_id, run.name, run.state)


def _by_run(
    events: Iterable[tuple[int, LoggedEvent]],
) -> dict[str, list[tuple[int, LoggedEvent]]]:
    runs: dict[str, list[tuple[int, LoggedEvent]]] = {}
    for partition, each in events:
        runs.setdefault(each.event.run_id, []).append((partition, each))
    return runs


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
