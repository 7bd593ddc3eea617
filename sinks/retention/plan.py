"""Which events of a lake are too old: from the names of files alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from runfold.schemas.offsets import LogPartition, OffsetRange, Tile, tile
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import (
    REMAINS_DATE,
    Kind,
    LakeFile,
    is_remains,
    list_files,
    list_logs,
)
from runfold.sinks.object_path import LakePath
from runfold.sinks.state_sets import serving_set, states_root
from runfold.sinks.storage import at


@dataclass(frozen=True, slots=True)
class Expiry:
    """The beginning of a partition that is too old, in whole files.

    Shape: `tiles` cover `range`; the first may be what is left of an earlier expiry. `files` are
    all that hold nothing but offsets of it, those that were set aside too.
    """

    log: LogPartition
    range: OffsetRange
    tiles: tuple[Tile[LakeFile], ...]
    files: tuple[LakeFile, ...]
    size_bytes: int
    newest: date


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why something that is too old stays."""

    log: LogPartition
    says: str


def plan_expiry(root: LakePath, before: date) -> tuple[list[Expiry], list[Hindrance]]:
    """Return what the log took before that day, UTC, by partition, and what hinders more.

    Shape: files are of one day, so that an event stays at most a day longer than asked. States
    must have been made of all that is removed; a hole is a finding of the audit, and stays one.
    Raises: LakeUnavailable.
    """
    plans: list[Expiry] = []
    hindrances: list[Hindrance] = []
    with lake_errors(root, "list"):
        for log in list_logs(root):
            found, hindrance = _of_log(root, log, before)
            plans += [found] if found else []
            hindrances += [hindrance] if hindrance else []
    return plans, hindrances


def events_begin(root: LakePath, log: LogPartition) -> int:
    """Return the offset before which the events of `log` were removed by age; 0 where none were.

    Raises: LakeUnavailable.
    """
    with lake_errors(root, "list"):
        remains = filter(is_remains, list_files(root, log, Kind.EVENTS))
        return max((each.range.next_offset for each in remains), default=0)


def _of_log(
    root: LakePath, log: LogPartition, before: date
) -> tuple[Expiry | None, Hindrance | None]:
    files = list_files(root, log, Kind.EVENTS)
    states = list_files(states_root(root, serving_set(root).name), log, Kind.STATES)
    if not files:
        return None, None
    first = min(each.range.first for each in files)
    states_end = tile(states).contiguous_from(first) if states else first
    old = list(_old_beginning(tile(files).tiles, before))
    old, hindrance = _as_far_as_whole(log, old, states_end)
    if all(is_remains(each.source) for each in old):
        return None, hindrance
    offsets = OffsetRange(first, old[-1].range.last)
    aside = list_files(root, log, Kind.EVENTS, set_aside=True)
    covered = tuple(each for each in (*files, *aside) if each.range.last <= offsets.last)
    size_bytes = sum(at(each.path).stat().size_bytes for each in covered)
    newest = max(_day(each.source) for each in old)
    return Expiry(log, offsets, tuple(old), covered, size_bytes, newest), hindrance


def _old_beginning(tiles: tuple[Tile[LakeFile], ...], before: date) -> Iterator[Tile[LakeFile]]:
    for each in tiles:
        if _day(each.source) >= before:
            return
        yield each


def _as_far_as_whole(
    log: LogPartition, old: list[Tile[LakeFile]], states_end: int
) -> tuple[list[Tile[LakeFile]], Hindrance | None]:
    for number, each in enumerate(old):
        if number and each.range.first > old[number - 1].range.next_offset:
            hole = OffsetRange(old[number - 1].range.next_offset, each.range.first - 1)
            return old[:number], Hindrance(
                log, f"no file holds offsets {hole}; see `runfold audit`, `runfold accept loss`"
            )
        if each.range.next_offset > states_end:
            return old[:number], Hindrance(log, f"states reach only to offset {states_end}")
    return old, None


def _day(file: LakeFile) -> date:
    name = file.path.parent.parent.name
    return date.fromisoformat((REMAINS_DATE if is_remains(file) else name).removeprefix("date="))
