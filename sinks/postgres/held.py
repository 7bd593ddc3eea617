"""What the lake holds, file by file, and what of it is new to the export."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from runfold.schemas.offsets import LogPartition, OffsetRange, Tiling, merge_ranges, tile, without
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind, LakeFile, is_remains, list_whole_lake
from runfold.sinks.object_path import LakePath


@dataclass(frozen=True, slots=True)
class Piece:
    """Some offsets of one file that are to be read."""

    file: LakeFile
    offsets: OffsetRange


@dataclass(frozen=True, slots=True)
class Held:
    """The files of one kind, as they tile the logs.

    Shape: `expired` has for a log the offset before which its events were removed by age; files of
    them may still wait to be removed.
    """

    tilings: Mapping[LogPartition, Tiling[LakeFile]]
    expired: Mapping[LogPartition, int] = field(default_factory=dict)

    @property
    def covered(self) -> dict[LogPartition, list[OffsetRange]]:
        """The offsets of each log that the lake holds."""
        found = {}
        for log, tiling in self.tilings.items():
            ranges = merge_ranges(each.range for each in tiling.tiles)
            if end := self.expired.get(log):
                ranges = without(ranges, [OffsetRange(0, end - 1)])
            if ranges:
                found[log] = ranges
        return found

    def next_offset(self, topic_id: str, partition: int) -> int:
        """Return where the log goes on behind what the lake holds or has held."""
        log = LogPartition(topic_id, partition)
        if log in self.tilings:
            return self.tilings[log].tiles[-1].range.next_offset
        return self.expired.get(log, 0)

    def pieces(self, wanted: Mapping[LogPartition, list[OffsetRange]]) -> list[Piece]:
        """Return from which files the offsets of `wanted` are to be read."""
        found = []
        for log, ranges in wanted.items():
            for each in self.tilings[log].tiles:
                for offsets in ranges:
                    part = each.range.intersection(offsets)
                    if part is not None:
                        found.append(Piece(each.source, part))
        return found


def held_in(root: LakePath, kind: Kind) -> Held:
    """Return what the lake, or a set of states, in `root` holds. Raises: LakeUnavailable."""
    with lake_errors(root, "list"):
        files, _ = list_whole_lake(root, kind)
    by_log: dict[LogPartition, list[LakeFile]] = defaultdict(list)
    expired: dict[LogPartition, int] = {}
    for file in files:
        if is_remains(file):
            expired[file.log] = max(file.range.next_offset, expired.get(file.log, 0))
        else:
            by_log[file.log].append(file)
    return Held({log: tile(each) for log, each in by_log.items()}, expired)


def new_ranges(
    held: Mapping[LogPartition, list[OffsetRange]],
    exported: Mapping[LogPartition, list[OffsetRange]],
    most_offsets: int | None = None,
) -> dict[LogPartition, list[OffsetRange]]:
    """Return what is held and not exported: all of it, or about so many offsets, oldest first."""
    left = {
        log: new for log, ranges in held.items() if (new := without(ranges, exported.get(log, ())))
    }
    if most_offsets is None or not left:
        return left
    each_log = max(1, most_offsets // len(left))
    return {log: _first(ranges, each_log) for log, ranges in left.items()}


def _first(ranges: list[OffsetRange], most: int) -> list[OffsetRange]:
    taken: list[OffsetRange] = []
    for each in ranges:
        if most <= 0:
            break
        taken.append(OffsetRange(each.first, min(each.last, each.first + most - 1)))
        most -= len(taken[-1])
    return taken
