"""From transcript files to events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain

from runfold.producers.importers.claude_code.files import TranscriptFile
from runfold.producers.importers.claude_code.ownership import Ownership
from runfold.producers.importers.claude_code.report import ImportReport
from runfold.producers.importers.claude_code.run_events import (
    ImportOptions,
    RunWriter,
    finished_event,
)
from runfold.producers.importers.claude_code.session_group import SessionGroup
from runfold.producers.importers.claude_code.session_index import SessionIndex, build_index
from runfold.producers.importers.claude_code.stretches import Mark
from runfold.producers.importers.claude_code.unit_events import Fields, unit_events
from runfold.producers.importers.claude_code.units import Unit

StoredLookup = Callable[[Collection[str]], Mapping[str, str]]
"""Returns for each of some event ids that the lake holds the run that it is stored in."""

_IDS_A_LOOKUP = 50_000


def nothing_stored(event_ids: Collection[str]) -> Mapping[str, str]:
    """Answer for a lake that is empty, or not at hand."""
    del event_ids
    return {}


class ClaudeCodeImport:
    """Reads transcripts into the events that are not stored yet.

    Delivery: the same files give the same events with the same ids, so that an import may be
    repeated; what forks and resumed sessions repeat is given once, for the run that owns it.
    Memory: an index of a few words for each line, and the units of one group of files that share
    sessions.
    """

    def __init__(
        self,
        files: Iterable[TranscriptFile],
        options: ImportOptions,
        *,
        stored: StoredLookup = nothing_stored,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`on_bytes` is told how much was read; each file is read twice."""
        self.report = ImportReport()
        self._files = list(files)
        self._options = options
        self._stored = stored
        self._on_bytes = on_bytes

    def events(self) -> Iterator[Fields]:
        """Yield the new events, run by run; `report` is right when all are taken."""
        index = build_index(self._files, self.report, self._on_bytes)
        batch: list[SessionGroup] = []
        ids = 0
        for files in index.groups():
            group = self._read(files, index)
            batch.append(group)
            ids += sum(len(unit.event_ids()) for unit in group.units.values())
            if ids >= _IDS_A_LOOKUP:
                yield from self._new_events(batch)
                batch, ids = [], 0
        yield from self._new_events(batch)

    def _read(self, files: list[TranscriptFile], index: SessionIndex) -> SessionGroup:
        group = SessionGroup(index)
        for file in files:
            try:
                group.read(file)
            except OSError:  # reported by the first pass, or gone since
                continue
            self._on_bytes(file.size_bytes)
        group.finish()
        self.report.bad_lines += group.bad_lines
        return group

    def _new_events(self, groups: list[SessionGroup]) -> Iterator[Fields]:
        ids = chain.from_iterable(
            unit.event_ids() for group in groups for unit in group.units.values()
        )
        owners = self._stored(list(ids))
        events = [each for group in groups for each in self._events_of(group, owners)]
        known = self._stored([each["event_id"] for each in events])
        for event in events:
            self.report.add_found(event)
            if known.get(event["event_id"]) == event["run_id"]:
                self.report.known += 1
            else:
                self.report.events += 1
                yield event

    def _events_of(self, group: SessionGroup, stored: Mapping[str, str]) -> Iterator[Fields]:
        ownership = Ownership(group.units, group.runs, stored)
        units_of: dict[str, list[Unit]] = {}
        for unit in group.units.values():
            owner = ownership.owner_of(unit)
            units_of.setdefault(owner, []).append(unit)
            _note_origin(group, unit, owner)
        beats = _beats(group, units_of)
        for run_id, units in units_of.items():
            info = group.runs.get(run_id)
            if info is None:
                yield from _events_of_stored_run(run_id, units, content=self._options.content)
                continue
            if not any(unit.event_ids() for unit in units):
                continue
            writer = RunWriter(info, units, self._options, beats=beats.get(run_id, ()))
            self.report.pending_calls += writer.pending is not None
            self.report.sessions += info.agent_id is None
            self.report.subagents += info.agent_id is not None
            yield from writer.events()


def _note_origin(group: SessionGroup, unit: Unit, owner: str) -> None:
    """Note where a session comes from that repeats a unit of another."""
    for run_id in unit.claims:
        info = group.runs[run_id]
        if owner not in unit.claims or owner == run_id or info.agent_id is not None:
            continue
        if group.runs[owner].agent_id is None and info.forked_from is None:
            info.forked_from = owner


def _beats(group: SessionGroup, units_of: Mapping[str, list[Unit]]) -> dict[str, list[Mark]]:
    """Return for each run the lines of its sub-agents, theirs included."""
    beats: dict[str, list[Mark]] = {}
    for run_id, units in units_of.items():
        marks = [(at, uuid) for unit in units for uuid, at in unit.marks.items()]
        passed = {run_id}
        info = group.runs.get(run_id)
        while info is not None and info.agent_id is not None:
            parent_id = info.parent_run_id or info.session_id
            if parent_id in passed:
                break
            passed.add(parent_id)
            beats.setdefault(parent_id, []).extend(marks)
            info = group.runs.get(parent_id)
    return beats


def _events_of_stored_run(run_id: str, units: list[Unit], *, content: bool) -> Iterator[Fields]:
    """Yield what is new of units of a run whose own transcript is not there."""
    for unit in units:
        for event in unit_events(unit, complete=True, content=content):
            yield finished_event(event, run_id)
