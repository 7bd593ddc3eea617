"""From the files of the Local Telemetry client and its service to events."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from runfold.producers.importers.lines import LineError
from runfold.producers.importers.local_telemetry.database import read_database, shared_run_ids
from runfold.producers.importers.local_telemetry.names import (
    RunKey,
    RunNames,
    Start,
    StartLookup,
)
from runfold.producers.importers.local_telemetry.report import ImportReport
from runfold.producers.importers.local_telemetry.rows import (
    Stored,
    StoredCommit,
    StoredRun,
    commit_of,
    event_of,
    run_of,
)
from runfold.producers.importers.local_telemetry.run_events import (
    Fields,
    commit_event,
    logged_event,
    run_events,
)
from runfold.producers.importers.local_telemetry.sources import (
    BadRecord,
    Record,
    RecordKind,
    Source,
    read_lines,
)

StoredLookup = Callable[[Collection[str]], Mapping[str, str]]
"""Returns for each of some event ids that the lake holds the run that it is stored in."""

_RECORDS_AT_ONCE = 10_000
_REMEMBERED = 1_000_000
_CHECKS: dict[RecordKind, Callable[[Mapping[str, Any]], Stored]] = {
    RecordKind.RUN: run_of,
    RecordKind.EVENT: event_of,
    RecordKind.COMMIT: commit_of,
}


def nothing_stored(event_ids: Collection[str]) -> Mapping[str, str]:
    """Answer for a lake that is empty, or not at hand."""
    del event_ids
    return {}


def nothing_started(run_ids: Collection[str]) -> Mapping[str, Start]:
    """Answer for a lake that is empty, or not at hand."""
    del run_ids
    return {}


class LocalTelemetryImport:
    """Reads runs, events and commits into the events that are not stored yet.

    Delivery: the same files give the same events with the same ids, so that an import may be
    repeated, and the same run in several files is one run: the first record that tells its start
    or its end wins. Runs that runfold's own client has recorded are passed over.
    Memory: a few words for each run and event in files of lines, and for each run that shares its
    run id in a database; 10,000 records at once.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        *,
        stored: StoredLookup = nothing_stored,
        starts: StartLookup = nothing_started,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`on_bytes` is told how much was read; a file of lines is read twice."""
        self.report = ImportReport()
        self._sources = list(sources)
        self._stored = stored
        self._on_bytes = on_bytes
        self._names = RunNames(starts)
        self._given: OrderedDict[str, None] = OrderedDict()

    def events(self) -> Iterator[Fields]:
        """Yield the new events; `report` is right when all are taken."""
        for source in self._sources:
            self._note_runs(source)
        for source in self._sources:
            self.report.files += 1
            alike: Counter[str] = Counter()
            records = self._good_records(source)
            while batch := list(islice(records, _RECORDS_AT_ONCE)):
                yield from self._new_events(batch, alike)

    def _note_runs(self, source: Source) -> None:
        """Note which runs share a run id, before any of them is named."""
        if source.is_database:
            rows = shared_run_ids(source.path)
        else:
            rows = (each.values for each in self._records(source) if isinstance(each, Record))
        for values in rows:
            try:
                if "start_time" in values:
                    self._names.note(run_of(values))
            except LineError:  # reported when it is read for its events
                continue

    def _records(self, source: Source) -> Iterator[Record | BadRecord]:
        try:
            reading = read_database if source.is_database else read_lines
            yield from reading(source, self._on_bytes)
        except OSError as error:
            yield BadRecord(source.path, "0", f"cannot be read: {error.strerror or error}")

    def _good_records(self, source: Source) -> Iterator[Stored]:
        for record in self._records(source):
            if isinstance(record, BadRecord):
                self.report.bad_records.append(record)
                continue
            self.report.records += 1
            try:
                yield _CHECKS[record.kind](record.values)
            except LineError as error:
                self.report.bad_records.append(BadRecord(record.path, record.place, str(error)))

    def _new_events(self, batch: list[Stored], alike: Counter[str]) -> Iterator[Fields]:
        keyed = [(self._key_of(record), record) for record in batch]
        names = self._names.names_of({key for key, _ in keyed})
        self.report.recorded += sum(names[key] is None for key, _ in keyed)
        events = [
            event
            for key, record in keyed
            if (name := names[key]) is not None
            for event in _events_of(name, record, alike)
            if self._is_first(event["event_id"])
        ]
        known = self._stored([event["event_id"] for event in events])
        for event in events:
            self.report.add_found(event)
            if known.get(event["event_id"]) == event["run_id"]:
                self.report.known += 1
            else:
                self.report.events += 1
                yield event

    def _key_of(self, record: Stored) -> RunKey:
        if isinstance(record, StoredRun):
            return RunKey(record.run_id, record.identity)
        return self._names.key_at(record.run_id, record.at)

    def _is_first(self, event_id: str) -> bool:
        """Say whether an event was not given before, as far as the last million tell."""
        if event_id in self._given:
            return False
        self._given[event_id] = None
        if len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)
        return True


def _events_of(name: str, record: Stored, alike: Counter[str]) -> Iterator[Fields]:
    if isinstance(record, StoredRun):
        yield from run_events(record, name)
    elif isinstance(record, StoredCommit):
        yield commit_event(record, name)
    else:
        first = logged_event(record, name, 0)
        nth = alike[first["event_id"]]
        alike[first["event_id"]] += 1
        yield logged_event(record, name, nth) if nth else first
