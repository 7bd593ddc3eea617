"""What is to be merged: from the names and sizes of files alone.

Files that may still get neighbours are merged in tiers: a file's tier is the logarithm of how many
offsets it covers, and 16 neighbours of one tier (4 of states) become one of a higher tier. So a row
is rewritten once a tier, however long the log is. Events of an hour that is over, or of a day that
is over, are packed into as few files of 64 to 256 MB as can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from runfold.schemas.offsets import OffsetRange, Tile, tile
from runfold.sinks.lake_files import WHOLE_DAY, Kind, LakeFile, file_name
from runfold.sinks.object_path import LakePath

MEBIBYTE = 1024 * 1024
LEAST_BYTES = 64 * MEBIBYTE
"""A file of so many bytes is merged again only to take in a small neighbour."""
TARGET_BYTES = 128 * MEBIBYTE
MOST_BYTES = 240 * MEBIBYTE
"""Of what is merged: with other rows beside it a file grows a little, and 256 MB is the most."""
_EVENTS_A_TIER = 16
_STATES_A_TIER = 4
_STATES_AT_ONCE = 32
"""Sources of one merge: all of them are read at the same time."""


@dataclass(frozen=True, slots=True)
class SizedFile:
    """A file of the lake; one that is not `mergeable` stays as it is, and parts its neighbours."""

    file: LakeFile
    size_bytes: int
    mergeable: bool = True

    @property
    def range(self) -> OffsetRange:
        """The offsets that it holds."""
        return self.file.range

    @property
    def place(self) -> tuple[str, str]:
        """The names of its folders by day and hour; those of states mean nothing."""
        return self.file.path.parent.parent.name, self.file.path.parent.name

    @property
    def tier(self) -> int:
        """How often a range of so many offsets can be divided by the width of a tier."""
        base = _EVENTS_A_TIER if self.file.kind is Kind.EVENTS else _STATES_A_TIER
        offsets, tier = len(self.range), 0
        while offsets >= base:
            offsets //= base
            tier += 1
        return tier


@dataclass(frozen=True, slots=True)
class Merge:
    """Files to become one, in log order, each with the offsets that it is read for.

    Shape: each begins where the one before it ends.
    """

    tiles: tuple[Tile[SizedFile], ...]
    path: LakePath

    @property
    def result(self) -> LakeFile:
        """The file that is to be written."""
        first, last = self.tiles[0], self.tiles[-1]
        offsets = OffsetRange(first.range.first, last.range.last)
        file = first.source.file
        return LakeFile(file.kind, file.log, offsets, self.path)

    @property
    def size_bytes(self) -> int:
        """How much is read; what is written is smaller, since every file has a footer."""
        return sum(each.source.size_bytes for each in self.tiles)


Tiles = list[Tile[SizedFile]]


def plan(files: Iterable[SizedFile]) -> list[Merge]:
    """Return what to merge next of the files of one kind of one partition, nothing if all is well.

    Shape: merges share no file. Once they are done there may be more to plan.
    """
    listed = list(files)
    if not listed:
        return []
    events = listed[0].file.kind is Kind.EVENTS
    groups = _events(listed) if events else _states(listed)
    return [_merge(group) for group in groups]


def plan_to_the_end(files: Iterable[SizedFile]) -> Iterator[Merge]:
    """Yield all merges that would follow each other, if what is merged keeps its bytes."""
    left = set(files)
    while merges := plan(left):
        for merge in merges:
            left -= {each.source for each in merge.tiles}
            left.add(SizedFile(merge.result, merge.size_bytes))
            yield merge


def _merge(group: Sequence[Tile[SizedFile]]) -> Merge:
    first, last = group[0], group[-1]
    folder = first.source.file.path.parent
    if any(each.source.file.path.parent != folder for each in group):
        folder = folder.parent / WHOLE_DAY
    offsets = OffsetRange(first.range.first, last.range.last)
    return Merge(tuple(group), folder / file_name(first.source.file.log.partition, offsets))


def _events(files: list[SizedFile]) -> Iterator[Tiles]:
    newest = max(each.place for each in files)

    def belongs_to(each: Tile[SizedFile]) -> tuple[str, ...]:
        date, hour = each.source.place
        return (date,) if date < newest[0] else (date, hour)

    for stretch in _stretches(list(tile(files).tiles), belongs_to):
        over = belongs_to(stretch[0]) < newest
        yield from _packed(stretch) if over else _tiered(stretch, _EVENTS_A_TIER)


def _states(files: list[SizedFile]) -> Iterator[Tiles]:
    for stretch in _stretches(list(_chained(files)), lambda _: ()):
        for group in _tiered(stretch, _STATES_A_TIER):
            for start in range(0, len(group), _STATES_AT_ONCE):
                portion = group[start : start + _STATES_AT_ONCE]
                if len(portion) >= _STATES_A_TIER:
                    yield portion


def _stretches(
    tiles: Tiles, belongs_to: Callable[[Tile[SizedFile]], tuple[str, ...]]
) -> Iterator[Tiles]:
    """Yield neighbours that may become one: no hole between them, of one hour or day."""
    for mergeable, group in groupby(tiles, lambda each: each.source.mergeable):
        if not mergeable:
            continue
        stretch: Tiles = []
        for each in group:
            if stretch and (
                each.range.first != stretch[-1].range.next_offset
                or belongs_to(each) != belongs_to(stretch[-1])
            ):
                yield stretch
                stretch = []
            stretch.append(each)
        yield stretch


def _chained(files: list[SizedFile]) -> Iterator[Tile[SizedFile]]:
    """Yield in log order files of which each, where there is such a one, begins where one ends.

    A states file is merged as a whole, since its counts cannot be parted. A worker goes on where
    a file ends; so, going back from the file that reaches furthest, there is one before each, and
    only where that was merged with what overlaps is there none.
    """
    waiting = sorted(files, key=lambda each: (each.range.last, -each.range.first))
    longest_by_end = {each.range.next_offset: each for each in waiting}
    chain: list[SizedFile] = []
    while waiting:
        furthest = waiting.pop()
        if not chain:
            chain.append(furthest)
        elif furthest.range.first < chain[-1].range.first:
            chain.append(longest_by_end.get(chain[-1].range.first, furthest))
    return (Tile(each, each.range) for each in reversed(chain))


def _tiered(stretch: Tiles, width: int) -> list[Tiles]:
    """Return the groups of the lowest tier that has any."""
    for tier in sorted({each.source.tier for each in stretch}):
        groups = [
            group
            for group in _up_to_tier(stretch, tier)
            if sum(each.source.tier == tier for each in group) >= width
            or _bytes(group) >= TARGET_BYTES
        ]
        if groups:
            return groups
    return []


def _up_to_tier(stretch: Tiles, tier: int) -> Iterator[Tiles]:
    """Yield neighbours that are small and of `tier` or below, cut where it is enough for a file."""
    group: Tiles = []
    size_bytes = 0
    for each in stretch:
        suits = each.source.size_bytes < LEAST_BYTES and each.source.tier <= tier
        if group and (not suits or size_bytes >= TARGET_BYTES):
            yield group
            group, size_bytes = [], 0
        if suits:
            group.append(each)
            size_bytes += each.source.size_bytes
    if group:
        yield group


def _packed(stretch: Tiles) -> list[Tiles]:
    """Return groups that become files of 64 to 256 MB, of files that get no more neighbours."""
    groups: list[Tiles] = []
    size_bytes = 0
    for each in stretch:
        if groups and _fits(size_bytes, each.source.size_bytes):
            groups[-1].append(each)
            size_bytes += each.source.size_bytes
        else:
            groups.append([each])
            size_bytes = each.source.size_bytes
    left_over = len(groups) > 1 and size_bytes < LEAST_BYTES
    if left_over and _bytes(groups[-2]) + size_bytes <= MOST_BYTES:
        groups[-2:] = [groups[-2] + groups[-1]]
    return [group for group in groups if len(group) > 1]


def _fits(group_bytes: int, next_bytes: int) -> bool:
    takes = group_bytes < LEAST_BYTES or (next_bytes < LEAST_BYTES and group_bytes < TARGET_BYTES)
    return takes and group_bytes + next_bytes <= MOST_BYTES


def _bytes(group: Tiles) -> int:
    return sum(each.source.size_bytes for each in group)
