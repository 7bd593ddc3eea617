"""Offset ranges, and how they tile a log."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas.offsets import OffsetRange, merge_ranges, runs_of, tile


@dataclass(frozen=True)
class Piece:
    range: OffsetRange


RANGES = st.tuples(st.integers(0, 30), st.integers(0, 12)).map(
    lambda pair: OffsetRange(pair[0], pair[0] + pair[1])
)


def offsets_of(ranges: list[OffsetRange]) -> set[int]:
    return {offset for each in ranges for offset in range(each.first, each.next_offset)}


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (5, 4)])
def test_what_is_no_range_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match=f"first {first}, last {last}"):
        OffsetRange(first, last)


@given(st.lists(RANGES, max_size=12))
def test_a_tiling_reads_every_offset_once_and_names_the_holes(ranges: list[OffsetRange]) -> None:
    tiling = tile([Piece(each) for each in ranges])
    read = [
        offset
        for each in tiling.tiles
        for offset in range(each.range.first, each.range.next_offset)
    ]
    covered = offsets_of(ranges)
    assert read == sorted(covered)
    assert all(each.range.first in each.source.range for each in tiling.tiles)
    assert all(each.range.last in each.source.range for each in tiling.tiles)
    between = set(range(min(covered), max(covered) + 1)) if covered else set()
    assert offsets_of(list(tiling.holes)) == between - covered


@given(st.lists(RANGES, min_size=1, max_size=12), st.integers(0, 45))
def test_what_is_contiguous_ends_at_the_first_offset_that_is_missing(
    ranges: list[OffsetRange], first: int
) -> None:
    covered = offsets_of(ranges)
    expected = first
    while expected in covered:
        expected += 1
    assert tile([Piece(each) for each in ranges]).contiguous_from(first) == expected


@given(st.lists(RANGES, max_size=12))
def test_merged_ranges_hold_the_same_offsets_and_neither_touch_nor_overlap(
    ranges: list[OffsetRange],
) -> None:
    merged = merge_ranges(ranges)
    assert offsets_of(merged) == offsets_of(ranges)
    assert all(a.next_offset < b.first for a, b in pairwise(merged))


@given(st.sets(st.integers(0, 60)))
def test_stretches_of_numbers_hold_the_numbers(numbers: set[int]) -> None:
    stretches = list(runs_of(sorted(numbers)))
    assert offsets_of(stretches) == numbers
    assert stretches == merge_ranges(stretches)
