"""What is planned to be merged, from names and sizes alone."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.schemas.offsets import LogPartition, OffsetRange, tile
from runfold.sinks.compaction.plan import (
    LEAST_BYTES,
    MEBIBYTE,
    MOST_BYTES,
    Merge,
    SizedFile,
    plan,
    plan_to_the_end,
)
from runfold.sinks.lake_files import WHOLE_DAY, Kind, LakeFile, file_name, hour_folder

LOG = LogPartition("a-topic", 3)
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
MIDNIGHT_US = 20_000 * 24 * HOUR_US


@cache
def folder_of(hour: int) -> Path:
    return Path("a-topic/events") / hour_folder(MIDNIGHT_US + hour * HOUR_US)


def events_file(first: int, last: int, size_bytes: int, *, hour: int = 0) -> SizedFile:
    """Return a file of the hour that is so many hours after midnight."""
    path = folder_of(hour) / file_name(LOG.partition, OffsetRange(first, last))
    return SizedFile(LakeFile(Kind.EVENTS, LOG, OffsetRange(first, last), path), size_bytes)


def states_file(first: int, last: int, size_bytes: int) -> SizedFile:
    path = Path("a-topic/states") / file_name(LOG.partition, OffsetRange(first, last))
    return SizedFile(LakeFile(Kind.STATES, LOG, OffsetRange(first, last), path), size_bytes)


def after(files: Iterable[SizedFile], merges: Iterable[Merge]) -> set[SizedFile]:
    """Return the files once `merges` are done and what they merged is removed."""
    left = set(files)
    for merge in merges:
        left -= {each.source for each in merge.tiles}
        left.add(SizedFile(merge.result, merge.size_bytes))
    return left


def offsets_of(files: Iterable[SizedFile]) -> set[int]:
    return {offset for each in files for offset in range(each.range.first, each.range.last + 1)}


SIZES = st.integers(10, 29).flatmap(lambda bits: st.integers(1 << bits, 2 << bits))


@st.composite
def lakes(draw: st.DrawFn, kind: Kind) -> list[SizedFile]:
    """Draw the files of one kind: in log order over hours and days, with holes and overlaps."""
    files: list[SizedFile] = []
    first = hour = 0
    for _ in range(draw(st.integers(1, 60))):
        length = draw(st.sampled_from([1, 1, 1, 1, 2, 20, 300]))
        size_bytes = draw(SIZES)
        last = first + length - 1
        files.append(
            events_file(first, last, size_bytes, hour=hour)
            if kind is Kind.EVENTS
            else states_file(first, last, size_bytes)
        )
        hour += draw(st.sampled_from([0, 0, 0, 0, 0, 1, 24]))
        first = max(0, last + 1 + draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1, -3])))
    named = {each.file.path: each for each in files}
    return draw(st.permutations(list(named.values())))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(list(Kind)))
def test_what_is_merged_are_neighbours_of_one_day_and_of_one_hour_while_the_day_lasts(
    data: st.DataObject, kind: Kind
) -> None:
    files = data.draw(lakes(kind))
    merges = plan(files)
    sources = [each.source for merge in merges for each in merge.tiles]
    assert len(set(sources)) == len(sources)
    newest = max(each.place for each in files)
    for merge in merges:
        assert len(merge.tiles) >= 2
        for one, other in pairwise(merge.tiles):
            assert one.range.next_offset == other.range.first
        for each in merge.tiles:
            assert each.source.range.first <= each.range.first
            assert each.range.last <= each.source.range.last
        if kind is Kind.STATES:
            assert all(each.range == each.source.range for each in merge.tiles)
            continue
        assert merge.size_bytes <= MOST_BYTES
        places = {each.source.place for each in merge.tiles}
        assert len({date for date, _ in places}) == 1
        if len(places) > 1:
            assert max(places)[0] < newest[0]
            assert merge.path.parent.name == WHOLE_DAY
        else:
            assert merge.path.parent == merge.tiles[0].source.file.path.parent


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(list(Kind)))
def test_planning_comes_to_an_end_and_no_offset_is_lost_on_the_way(
    data: st.DataObject, kind: Kind
) -> None:
    files = data.draw(lakes(kind))
    merges = list(plan_to_the_end(files))
    left = after(files, merges)
    assert plan(left) == []
    assert offsets_of(left) == offsets_of(files)
    tiers = 2 + math.log(1 + max(each.range.last for each in files), 4)
    assert sum(each.size_bytes for each in merges) <= tiers * sum(each.size_bytes for each in files)


@settings(max_examples=100, deadline=None)
@given(lakes(Kind.EVENTS))
def test_of_a_day_that_is_over_no_two_neighbours_are_left_that_would_make_a_better_file(
    files: list[SizedFile],
) -> None:
    first = 1 + max(each.range.last for each in files)
    last_hour = events_file(first, first, 1, hour=24 * 1000)
    left = after([*files, last_hour], plan_to_the_end([*files, last_hour]))
    tiles = tile(left).tiles
    for one, other in pairwise(tiles):
        if (
            one.range.next_offset == other.range.first
            and one.source.place[0] == (other.source.place[0])
        ):
            sizes = (one.source.size_bytes, other.source.size_bytes)
            assert max(sizes) >= LEAST_BYTES or sum(sizes) > MOST_BYTES
            assert min(sizes) >= LEAST_BYTES or sum(sizes) > LEAST_BYTES


def test_a_file_that_may_not_be_rewritten_parts_its_neighbours() -> None:
    files = [events_file(i, i, 1000, hour=0) for i in range(9)]
    fixed = [SizedFile(each.file, 1000, mergeable=False) for each in files[4:6]]
    later = events_file(9, 9, 1000, hour=30)
    merges = plan([*files[:4], *fixed, *files[6:], later])
    assert [merge.result.range for merge in merges] == [OffsetRange(0, 3), OffsetRange(6, 8)]


def test_fewer_than_sixteen_files_of_an_hour_that_lasts_are_left_alone() -> None:
    files = [events_file(i, i, 1000) for i in range(15)]
    assert plan(files) == []
    merges = plan([*files, events_file(15, 15, 1000)])
    assert [merge.result.range for merge in merges] == [OffsetRange(0, 15)]


def test_a_few_small_files_do_not_have_a_large_one_rewritten_while_the_hour_lasts() -> None:
    large = events_file(0, 99_999, 50 * MEBIBYTE)
    assert plan([large, *(events_file(100_000 + i, 100_000 + i, 1000) for i in range(15))]) == []


def test_states_of_which_only_a_part_would_be_read_are_not_merged_with_what_they_overlap() -> None:
    merged, late = states_file(0, 14, 1000), states_file(9, 20, 1000)
    after_it = [states_file(21 + i, 21 + i, 1000) for i in range(4)]
    merges = list(plan_to_the_end([merged, late, *after_it]))
    assert [merge.result.range for merge in merges] == [OffsetRange(21, 24)]


def test_states_that_a_worker_wrote_when_it_was_no_longer_the_owner_do_not_part_the_others() -> (
    None
):
    owned = [states_file(*offsets, 1000) for offsets in ((0, 4), (5, 8), (9, 14), (15, 18))]
    merges = plan([*owned, states_file(5, 12, 1000), states_file(9, 16, 1000)])
    assert [[each.range for each in merge.tiles] for merge in merges] == [
        [each.range for each in owned]
    ]


@dataclass
class Fleet:
    """One of 12 partitions on one day, flushed every 2 seconds and compacted every minute.

    Units: `records` in a flush; a file is so many bytes for each record and 12,000 for its footer.
    """

    records: int
    record_bytes: int
    events: set[SizedFile] = field(default_factory=set)
    states: set[SizedFile] = field(default_factory=set)
    merged_bytes: int = 0
    most_files: int = 0

    def size_bytes(self, offsets: OffsetRange) -> int:
        return 12_000 + len(offsets) * self.record_bytes

    def live(self, *, minutes: int) -> None:
        """Let the day begin; then the next one, so that this one is over."""
        for minute in range(minutes):
            for flush in range(30):
                first = (minute * 30 + flush) * self.records
                self.flush(OffsetRange(first, first + self.records - 1), minute // 60)
            self.compact()
        first = minutes * 30 * self.records
        self.flush(OffsetRange(first, first), 24)
        self.compact()

    def flush(self, offsets: OffsetRange, hour: int) -> None:
        size_bytes = self.size_bytes(offsets)
        self.events.add(events_file(offsets.first, offsets.last, size_bytes, hour=hour))
        self.states.add(states_file(offsets.first, offsets.last, size_bytes))

    def compact(self) -> None:
        for files in (self.events, self.states):
            while merges := plan(files):
                for merge in merges:
                    files -= {each.source for each in merge.tiles}
                    result = SizedFile(merge.result, self.size_bytes(merge.result.range))
                    files.add(result)
                    if files is self.events:
                        self.merged_bytes += result.size_bytes
        self.most_files = max(self.most_files, len(self.events))

    def day(self) -> list[int]:
        """Return the sizes of the events files of the day that is over, in megabytes."""
        over = [
            each for each in self.events if each.range.last < max(self.events, key=_last).range.last
        ]
        return sorted(each.size_bytes // MEBIBYTE for each in over)


def _last(file: SizedFile) -> int:
    return file.range.last


@pytest.mark.parametrize("records", [5, 4000], ids=["a small fleet", "a large fleet"])
def test_a_day_of_flushes_every_two_seconds_ends_as_few_files(records: int) -> None:
    fleet = Fleet(records, record_bytes=80)
    fleet.live(minutes=24 * 60)
    sizes = fleet.day()
    total_bytes = 24 * 1800 * records * 80
    total = total_bytes // MEBIBYTE
    rewritten = fleet.merged_bytes / total_bytes
    figures = (
        f"{records} records a flush: of 43200 events files of a partition {len(sizes)} are left, "
        f"{sizes[0]} to {sizes[-1]} MB; {len(fleet.states)} states files; never more than "
        f"{fleet.most_files} events files; each byte was rewritten {rewritten:.1f} times\n"
    )
    sys.stdout.write(figures)
    assert sizes[-1] <= 256
    assert sizes[0] >= 64 or len(sizes) == 1
    assert len(sizes) <= max(1, total // 64)
    assert len(fleet.states) <= total // 64 + 60
    assert fleet.most_files <= total // 64 + 150
    assert rewritten <= 6
