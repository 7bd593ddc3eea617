"""Runs that are created and changed: written to the log, then judged by how the log has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

from runfold.producers.collector.access import Caller
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.log_writer import Placed
from runfold.producers.collector.runs_api.follower import RunsFollower
from runfold.producers.collector.runs_api.gathering import Gathering
from runfold.producers.collector.runs_api.mapping import (
    Fields,
    KnownRun,
    change_events,
    commit_events,
    end_events,
    holds,
    is_too_large,
    names_for,
    new_events,
)
from runfold.producers.collector.runs_api.models import MadeCommit, NewRun
from runfold.producers.collector.runs_api.turns import Turns
from runfold.schemas.errors import BrokerUnavailable, EventRejected
from runfold.schemas.topic import EVENTS
from runfold.schemas.vocabulary import TERMINAL_STATUSES, DeadLetterReason

API = "runs"
_ATTEMPTS = 8
_TOO_LARGE = f"too large: an event may have {EVENTS.max_event_bytes} bytes"


@dataclass(frozen=True, slots=True)
class Created:
    """A run that is new to the log."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A run that the log had before."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A run that can never be taken, and why; `status` is HTTP's."""

    message: str
    status: int = 413


Outcome = Created | Duplicate | Refused


class TooLarge(Exception):
    """What is to be recorded does not fit into an event."""


_Gathering = Gathering[Sequence[NewRun], list[Outcome]]


@dataclass(slots=True)
class _Creating:
    """A record on its way; `places` are where its start was written, in vain until it shows."""

    record: NewRun
    name: str = ""
    places: tuple[Placed, ...] = ()


class RunRecorder:
    """Creates and changes runs for one collector; what others write at once is seen in the log."""

    def __init__(self, collector: Collector, follower: RunsFollower) -> None:
        self._collector = collector
        self._follower = follower
        self._store = follower.store
        self._turns = Turns()
        self._gatherings: WeakValueDictionary[Caller, _Gathering] = WeakValueDictionary()

    async def create(self, caller: Caller, records: Sequence[NewRun]) -> list[Outcome]:
        """Return for each record whether it made a run, in the order of the log.

        Delivery: idempotent by `event_id`, over all collectors.
        Raises: BrokerUnavailable (retry): all is sent again.
        """
        await self._follower.ready()
        gathering = self._gatherings.get(caller)
        if gathering is None:
            gathering = self._gatherings[caller] = Gathering(partial(self._create, caller))
        return await gathering.ask(records, len(records))

    async def _create(
        self, caller: Caller, asked: Sequence[Sequence[NewRun]]
    ) -> list[list[Outcome]]:
        """Create what a caller's requests ask for: written, read back and looked up once."""
        outcomes = iter(await self._create_all(caller, [each for one in asked for each in one]))
        return [list(islice(outcomes, len(one))) for one in asked]

    async def _create_all(self, caller: Caller, records: Sequence[NewRun]) -> list[Outcome]:
        async with self._turns.of(each.event_id for each in records):
            outcomes: dict[str, Outcome] = {}
            creating: dict[str, _Creating] = {}
            for each in records:
                creating.setdefault(each.event_id, _Creating(each))
            for _ in range(_ATTEMPTS):
                creating = self._settle(creating, outcomes)
                if not creating:
                    break
                await self._write_starts(caller, creating, outcomes)
            else:
                raise BrokerUnavailable("other collectors take every name of a run")
            told: list[Outcome] = []
            for each in records:
                told.append(outcomes[each.event_id])
                if isinstance(told[-1], Created):
                    outcomes[each.event_id] = Duplicate()
            return told

    def _settle(
        self, creating: Mapping[str, _Creating], outcomes: dict[str, Outcome]
    ) -> dict[str, _Creating]:
        """Note what became of the records whose run is there, and return the others."""
        found = self._store.entries(list(creating))
        left: dict[str, _Creating] = {}
        for event_id, each in creating.items():
            entry = found.get(event_id)
            if entry is not None:
                is_ours = Placed(entry.partition, entry.first_offset) in each.places
                outcomes[event_id] = Created() if is_ours else Duplicate()
            elif event_id not in outcomes:
                left[event_id] = each
        return left

    async def _write_starts(
        self, caller: Caller, creating: Mapping[str, _Creating], outcomes: dict[str, Outcome]
    ) -> None:
        candidates = {event_id: names_for(each.record) for event_id, each in creating.items()}
        names = [name for each in candidates.values() for name in each]
        owners = self._store.owners(names)
        events: list[Fields] = []
        firsts: dict[int, str] = {}
        for event_id, each in creating.items():
            free = (n for n in candidates[event_id] if owners.get(n, event_id) == event_id)
            each.name = next(free, "")
            of_run = new_events(each.record, each.name) if each.name else []
            if not of_run:
                outcomes[event_id] = Refused(f"run_id {each.record.run_id!r} has too many runs")
            elif any(map(is_too_large, of_run)):
                outcomes[event_id] = Refused(_TOO_LARGE)
            else:
                owners[each.name] = event_id
                firsts[len(events)] = event_id
                events += of_run
        placed = await self._written(caller, events)
        for at, event_id in firsts.items():
            place = placed[at]
            if isinstance(place, EventRejected):
                is_other = place.reason == DeadLetterReason.OTHER_HOST
                outcomes[event_id] = Refused(place.message, 403 if is_other else 413)
            else:
                creating[event_id].places += (place,)

    async def complete(self, caller: Caller, records: Sequence[NewRun]) -> None:
        """End the runs that are recorded as running and that a later record tells the end of.

        A client that was cut off sends a run twice, as it started and as it ended.
        """
        ended = {each.event_id: each for each in records if each.status in TERMINAL_STATUSES}
        events: list[Fields] = []
        for event_id, record in ended.items():
            run = self._store.known(event_id, caller.project)
            if run is not None and run.state.status not in TERMINAL_STATUSES:
                of_run = end_events(record, run.name)
                events += [] if any(map(is_too_large, of_run)) else of_run
        await self._written(caller, events)

    async def find(self, event_id: str, project: str | None) -> KnownRun | None:
        """Return a run, also one that another collector has just written."""
        run = self._store.known(event_id, project)
        if run is None:
            await self._follower.caught_up()
            run = self._store.known(event_id, project)
        return run

    async def change(self, caller: Caller, run: KnownRun, changes: Mapping[str, Any]) -> None:
        """Change a run. Raises: TooLarge, BrokerUnavailable (retry)."""
        await self._write_change(caller, run, lambda latest: change_events(latest, changes))

    async def commit(self, caller: Caller, run: KnownRun, commit: MadeCommit) -> None:
        """Note the commit that a run has made. Raises: as `change`."""
        now = datetime.now(UTC).isoformat()
        await self._write_change(caller, run, lambda latest: commit_events(latest, commit, now))

    async def _write_change(
        self, caller: Caller, run: KnownRun, events_of: Callable[[KnownRun], list[Fields]]
    ) -> None:
        """Write a change until it stands: one written at the same time may say it was later."""
        async with self._turns.of([run.event_id]):
            latest: KnownRun | None = run
            for _ in range(_ATTEMPTS):
                latest = self._store.known(run.event_id)
                if latest is None:  # the topic was made anew meanwhile
                    break
                events = events_of(latest)
                if any(map(is_too_large, events)):
                    raise TooLarge(_TOO_LARGE)
                place = (await self._written(caller, events))[-1]
                if isinstance(place, EventRejected):
                    raise TooLarge(place.message)
                latest = self._store.known(run.event_id)
                if latest is not None and holds(events[-1], place.offset, latest.state):
                    return
        raise BrokerUnavailable("others change this run all the time")

    async def _written(
        self, caller: Caller, events: Sequence[Fields]
    ) -> list[Placed | EventRejected]:
        """Return where events lie when the read model has them."""
        placed = await self._collector.take(API, caller, events, in_log=True)
        await self._follower.applied(each for each in placed if isinstance(each, Placed))
        return placed
