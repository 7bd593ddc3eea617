"""Offset ranges, and how ranges tile the log of one topic partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True, order=True)
class LogPartition:
    """One partition of one log. `topic_id` is Kafka's: a topic made anew is another log."""

    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True, order=True)
class OffsetRange:
    """Offsets `first` to `last`, both included, of one topic partition."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if self.first < 0 or self.last < self.first:
            raise ValueError(f"not an offset range: first {self.first}, last {self.last}")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, offset: object) -> bool:
        return isinstance(offset, int) and self.first <= offset <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @property
    def next_offset(self) -> int:
        """The offset to resume at."""
        return self.last + 1

    def intersection(self, other: OffsetRange) -> OffsetRange | None:
        """Return the offsets that are in both, None where there are none."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return OffsetRange(first, last) if first <= last else None


class Ranged(Protocol):
    """Whatever was derived from an offset range."""

    @property
    def range(self) -> OffsetRange: ...


R = TypeVar("R", bound=Ranged)


@dataclass(frozen=True, slots=True)
class Tile(Generic[R]):
    """One piece of derived data and the part of its range that it is read for."""

    source: R
    range: OffsetRange


@dataclass(frozen=True, slots=True)
class Tiling(Generic[R]):
    """Pieces that cover a log without overlap, in offset order, and the holes between them."""

    tiles: tuple[Tile[R], ...]
    holes: tuple[OffsetRange, ...]

    def contiguous_from(self, first: int) -> int:
        """Return the offset up to which the log is covered from `first` on, exclusive."""
        covered = first
        for tile in self.tiles:
            if tile.range.first > covered:
                break
            covered = max(covered, tile.range.next_offset)
        return covered


def tile(sources: Iterable[R]) -> Tiling[R]:
    """Choose from `sources` a cover of their offsets in which no offset is read twice.

    Shape: any order, overlaps and repetitions are normal (two workers may have written the same
    offsets); of several sources that start in time the one that reaches furthest is taken.
    """
    waiting = sorted(sources, key=lambda source: (source.range.first, -source.range.last))
    tiles: list[Tile[R]] = []
    holes: list[OffsetRange] = []
    covered: int | None = None
    index = 0
    while index < len(waiting):
        if covered is None or waiting[index].range.first > covered:
            if covered is not None:
                holes.append(OffsetRange(covered, waiting[index].range.first - 1))
            covered = waiting[index].range.first
        best: R | None = None
        while index < len(waiting) and waiting[index].range.first <= covered:
            if best is None or waiting[index].range.last > best.range.last:
                best = waiting[index]
            index += 1
        if best is not None and best.range.last >= covered:
            tiles.append(Tile(best, OffsetRange(covered, best.range.last)))
            covered = best.range.next_offset
    return Tiling(tuple(tiles), tuple(holes))


def merge_ranges(ranges: Iterable[OffsetRange]) -> list[OffsetRange]:
    """Return the same offsets as the fewest ranges, in order."""
    merged: list[OffsetRange] = []
    for piece in sorted(ranges):
        if merged and piece.first <= merged[-1].next_offset:
            merged[-1] = OffsetRange(merged[-1].first, max(merged[-1].last, piece.last))
        else:
            merged.append(piece)
    return merged


def without(ranges: Iterable[OffsetRange], taken: Iterable[OffsetRange]) -> list[OffsetRange]:
    """Return what `ranges` have and `taken` have not, as the fewest ranges, in order."""
    left: list[OffsetRange] = []
    holes = merge_ranges(taken)
    at = 0
    for piece in merge_ranges(ranges):
        first = piece.first
        while at < len(holes) and holes[at].last < first:
            at += 1
        ahead = at
        while first <= piece.last and ahead < len(holes) and holes[ahead].first <= piece.last:
            if holes[ahead].first > first:
                left.append(OffsetRange(first, holes[ahead].first - 1))
            first = holes[ahead].next_offset
            ahead += 1
        if first <= piece.last:
            left.append(OffsetRange(first, piece.last))
    return left


def runs_of(numbers: Sequence[int]) -> Iterator[OffsetRange]:
    """Yield the consecutive stretches of sorted `numbers` as ranges."""
    first = previous = None
    for number in numbers:
        if first is None or previous is None:
            first = previous = number
        elif number == previous + 1:
            previous = number
        else:
            yield OffsetRange(first, previous)
            first = previous = number
    if first is not None and previous is not None:
        yield OffsetRange(first, previous)
