"""Which files of the lake are read for which offsets, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.offsets import LogPartition, OffsetRange, Tiling, tile
from runfold.sinks.audit.inspection import Inspected, inspect
from runfold.sinks.audit.report import Finding
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import (
    Kind,
    LakeFile,
    is_remains,
    list_set_aside,
    list_whole_lake,
)
from runfold.sinks.object_path import LakePath
from runfold.sinks.state_sets import serving_set, states_root

_THREADS = 4


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a lake at one moment.

    Shape: `strangers` are Parquet files whose names are no range; `set_aside` those that a worker
    moved out of the way, since they were damaged.
    """

    files: list[LakeFile]
    strangers: list[LakePath]
    set_aside: list[LakePath]


@dataclass(frozen=True, slots=True)
class Place:
    """What the lake holds of one partition of one log, in files that are what they seem.

    Shape: `first` is where it begins. Events and states are both there before `end`, apart from
    holes; what lies behind it is derived again by the next worker.
    """

    log: LogPartition
    events: Tiling[LakeFile]
    states: Tiling[LakeFile]

    @property
    def first(self) -> int:
        """The first offset that anything was derived from."""
        return min(each.range.first for each in (*self.events.tiles, *self.states.tiles))

    @property
    def events_begin(self) -> int:
        """The offset before which events were removed by age; 0 where none were."""
        remains = (each for each in self.events.tiles if is_remains(each.source))
        return max((each.range.next_offset for each in remains), default=0)

    @property
    def end(self) -> int:
        """The offset up to which states were written, exclusive."""
        return max((each.range.next_offset for each in self.states.tiles), default=self.first)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The places of a lake, their files as inspected, and what is wrong with files."""

    places: list[Place]
    inspected: list[Inspected]
    findings: list[Finding]


def list_lake(root: LakePath) -> Listing:
    """List all events, and the states that serve.

    States come first: a worker writes the events of a range before its states.
    Raises: LakeUnavailable.
    """
    serving = states_root(root, serving_set(root).name)
    with lake_errors(root, "list"):
        states, strange_states = list_whole_lake(serving, Kind.STATES)
        events, strange_events = list_whole_lake(root, Kind.EVENTS)
        set_aside = list_set_aside(root)
    return Listing([*states, *events], [*strange_states, *strange_events], set_aside)


def cover(listing: Listing, *, closely: bool) -> Coverage:
    """Choose the files that tile each partition; one that is not what it seems is left out.

    Shape: files that others displace are not looked at. Raises: LakeUnavailable.
    """
    by_place: dict[tuple[LogPartition, Kind], list[LakeFile]] = defaultdict(list)
    for file in listing.files:
        by_place[file.log, file.kind].append(file)
    findings: list[Finding] = []
    inspected: list[Inspected] = []
    places: list[Place] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="inspect") as threads:
        inspector = _Inspector(threads, closely)
        for log in sorted({log for log, _ in by_place}):
            tilings = [inspector.tile(by_place[log, kind]) for kind in (Kind.EVENTS, Kind.STATES)]
            if any(tiling.tiles for tiling in tilings):
                places.append(Place(log, *tilings))
            for each in chain.from_iterable(tiling.tiles for tiling in tilings):
                inspected.append(inspector.known[each.source])
    findings = [_unreadable(file, problem) for file, problem in inspector.bad.items()]
    return Coverage(places, inspected, findings)


class _Inspector:
    """Inspects files once each, several at a time."""

    def __init__(self, threads: ThreadPoolExecutor, closely: bool) -> None:
        self.known: dict[LakeFile, Inspected] = {}
        self.bad: dict[LakeFile, str] = {}
        self._threads = threads
        self._closely = closely

    def tile(self, files: list[LakeFile]) -> Tiling[LakeFile]:
        """Return a tiling of which every file is what it seems."""
        while True:
            tiling = tile(each for each in files if each not in self.bad)
            new = [each.source for each in tiling.tiles if each.source not in self.known]
            if not new:
                return tiling
            for file, found in zip(new, self._threads.map(self._look, new), strict=True):
                if isinstance(found, Inspected):
                    self.known[file] = found
                else:
                    self.bad[file] = str(found)

    def _look(self, file: LakeFile) -> Inspected | LakeCorrupt:
        try:
            return inspect(file, closely=self._closely)
        except LakeCorrupt as error:
            return error


def _unreadable(file: LakeFile, problem: str) -> Finding:
    return Finding("bad_file", problem, where(file))


def check_contents(inspected: list[Inspected]) -> Iterator[Finding]:
    """Yield what does not agree between the name of an events file, its labels and its rows."""
    for each in inspected:
        if each.contents is not None:
            yield from _rows_in_range(each)
            yield from _labels_and_rows(each)
            yield from _labels_and_range(each)


def _rows_in_range(each: Inspected) -> Iterator[Finding]:
    contents, offsets = each.contents, each.file.range
    if contents is None or contents.first is None or contents.last is None:
        return
    if contents.first < offsets.first or contents.last > offsets.last:
        says = f"{each.file.path} has rows of offsets {contents.first} to {contents.last}"
        yield Finding("rows_outside", f"{says}, its range is {offsets}", where(each.file))
    if not contents.increasing:
        says = f"{each.file.path}: the offsets of its rows do not increase"
        yield Finding("rows_unordered", says, where(each.file))


def _labels_and_rows(each: Inspected) -> Iterator[Finding]:
    dead = each.contents.dead_letters if each.contents else 0
    found = {"events": each.rows - dead, "dead_letters": dead}
    for name, rows in found.items():
        said = each.count(f"runfold.{name}")
        if said != rows:
            word = name.replace("_", " ")
            says = f"{each.file.path} says that it has {said} {word}, and has {rows}"
            facts = {"label": name, "said": said, "found": rows}
            yield Finding("rows_and_label", says, where(each.file) | facts)


def _labels_and_range(each: Inspected) -> Iterator[Finding]:
    # Every offset is a record: the topic is neither compacted nor written in transactions.
    names = ("records", "events", "duplicates", "dead_letters")
    said = {name: each.count(f"runfold.{name}") for name in names}
    gone = each.lost + each.expired + each.erased
    became = sum(said[name] or 0 for name in names[1:]) + gone
    length = len(each.file.range)
    if (said["records"] or 0) + gone == became == length:
        return
    says = (
        f"{each.file.path} spans {length:,} offsets and says that of {said['records']} records "
        f"{said['events']} became events, {said['duplicates']} were duplicates and "
        f"{said['dead_letters']} dead letters"
    )
    yield Finding("records_short", says, where(each.file) | {"offsets": length, "said": said})


def where(file: LakeFile) -> dict[str, object]:
    """Return the facts that say which file it is."""
    return {"file": str(file.path)} | at(file.log, file.range)


def at(log: LogPartition, offsets: OffsetRange) -> dict[str, object]:
    """Return the facts that say which offsets these are."""
    return {
        "topic_id": log.topic_id,
        "partition": log.partition,
        "first": offsets.first,
        "last": offsets.last,
    }
