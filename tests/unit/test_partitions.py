"""The owner of partitions: what it resumes, when it writes, and what it does when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

import polars as pl
import pytest

from runfold.processors.observer import Observer
from runfold.processors.partitions import CheckLog, FlushPolicy, Partitions
from runfold.processors.run_table import DeadLetter, RunTable
from runfold.schemas.errors import (
    BrokerUnavailable,
    LakeUnavailable,
    LogGone,
    LogReplaced,
    RunfoldError,
)
from runfold.schemas.lake import CompactionCounts, Flush, LogDescription, ResumePoint
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.past_runs import PastRuns
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.run_state import RunState
from tests.lake_logs import rows_of
from tests.unit.test_run_table import batch, flush_of, logged

QUICK = FlushPolicy(first_pause=timedelta(milliseconds=1), longest_pause=timedelta(milliseconds=2))


class MemoryLake:
    """A lake in memory that can be full."""

    def __init__(self, next_offset: int | None = None) -> None:
        self.flushes: list[Flush] = []
        self.next_offset = next_offset
        self.full_for = 0
        self.unreadable_for = 0
        self.events_end: int | None = None
        self.stored_events: list[pl.DataFrame] = []

    def describe(self, log: LogDescription) -> LogDescription:
        return log

    def write(self, flush: Flush) -> None:
        if self.full_for:
            self.full_for -= 1
            raise LakeUnavailable("no space left")
        self.flushes.append(flush)
        self.next_offset = flush.range.next_offset

    def resume(self, log: LogPartition) -> ResumePoint:
        past = PastRuns()
        for state in self._states(log).values():
            past.add(state.run_id, state.last_offset)
        return ResumePoint(0, self.next_offset, self.events_end or self.next_offset, past)

    def _states(self, log: LogPartition) -> dict[str, RunState]:
        states: dict[str, RunState] = {}
        for flush in (each for each in self.flushes if each.log == log):
            states |= {state.run_id: state.copy() for state in flush.states}
        return states

    def states_of(self, log: LogPartition, runs: Mapping[str, int]) -> list[RunState]:
        if self.unreadable_for:
            self.unreadable_for -= 1
            raise LakeUnavailable("cannot be read")
        return [state for run_id, state in self._states(log).items() if run_id in runs]

    def events_of(self, log: LogPartition, offsets: OffsetRange) -> Iterator[pl.DataFrame]:
        assert log == LogPartition("a-topic", 3)
        for events in self.stored_events:
            yield events.filter(pl.col("offset").is_between(offsets.first, offsets.last))

    def compact(
        self, log: LogPartition, *, stopped: Callable[[], bool] = lambda: False
    ) -> CompactionCounts:
        raise AssertionError((log, stopped))


class Letters:
    """Takes dead letters, or does not."""

    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []
        self.down = False

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        if self.down:
            raise BrokerUnavailable("down")
        self.sent += letters


class Asked:
    """Remembers where the consumer was sent back to."""

    def __init__(self) -> None:
        self.back: list[tuple[int, int]] = []

    async def __call__(self, partition: int, offset: int) -> None:
        self.back.append((partition, offset))


async def unchanged() -> None:
    """Find the topic as it was."""


Made = tuple[Partitions, MemoryLake, Letters, Asked]


@pytest.fixture
def make() -> Callable[..., Made]:
    def made(
        next_offset: int | None = None,
        policy: FlushPolicy = QUICK,
        check_log: CheckLog = unchanged,
    ) -> Made:
        lake, letters = MemoryLake(next_offset), Letters()
        owner = Partitions(
            *("events", "a-topic"), lake=lake, dead_letters=letters, policy=policy,
            check_log=check_log,
        )  # fmt: skip
        return owner, lake, letters, Asked()

    return made


async def test_an_empty_lake_begins_where_the_log_begins(make: Callable[..., Made]) -> None:
    owner, *_ = make()
    assert await owner.resume({3}, {3: (40, 90)}) == {3: 40}


async def test_a_lake_goes_on_where_it_ends_whatever_kafka_has_committed(
    make: Callable[..., Made],
) -> None:
    owner, *_ = make(next_offset=55)
    assert await owner.resume({3}, {3: (40, 90)}) == {3: 55}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [((60, 90), "offsets 55 to 59 are gone"), ((0, 50), "the log ends at 50")],
)
async def test_a_log_that_does_not_hold_what_comes_next_is_an_error(
    make: Callable[..., Made], bounds: tuple[int, int], said: str
) -> None:
    owner, *_ = make(next_offset=55)
    with pytest.raises(LogGone, match=said):
        await owner.resume({3}, {3: bounds})


async def test_records_that_were_passed_over_are_read_again(make: Callable[..., Made]) -> None:
    owner, _, _, asked = make()
    await owner.resume({3}, {3: (0, 90)})
    await owner.take(owner.prepare(batch(logged(4), 4)), asked)
    assert asked.back == [(3, 0)]
    assert owner.positions() == {3: 0}


async def test_a_batch_of_a_partition_that_is_no_longer_owned_is_left_alone(
    make: Callable[..., Made],
) -> None:
    owner, lake, _, asked = make()
    await owner.resume({3}, {3: (0, 90)})
    await owner.resume(set(), {})
    await owner.take(owner.prepare(batch(logged(0), 0)), asked)
    await owner.flush_all()
    assert (lake.flushes, asked.back, owner.durable()) == ([], [], {})


async def test_nothing_is_durable_before_the_lake_has_it(make: Callable[..., Made]) -> None:
    owner, lake, _, asked = make()
    await owner.resume({3}, {3: (0, 90)})
    await owner.take(owner.prepare(batch(logged(0, 1), 0)), asked)
    assert owner.durable() == {3: 0}
    lake.full_for = 1
    assert not await owner.flush(3)
    assert owner.durable() == {3: 0}
    assert await owner.flush(3)
    assert owner.durable() == {3: 2}
    assert [each.counts.records for each in lake.flushes] == [2]


async def test_dead_letters_are_sent_before_the_lake_is_written_and_once(
    make: Callable[..., Made],
) -> None:
    owner, lake, letters, asked = make()
    await owner.resume({3}, {3: (0, 90)})
    bad = RecordBatch(LogPartition("a-topic", 3), 0, [0], [0], [b"key"], [b"junk"])
    await owner.take(owner.prepare(bad), asked)
    letters.down = True
    assert not await owner.flush(3)
    assert lake.flushes == []
    letters.down, lake.full_for = False, 1
    assert not await owner.flush(3)
    assert await owner.flush(3)
    assert [each.offset for each in letters.sent] == [0]


async def test_what_waits_for_a_full_lake_is_bounded(make: Callable[..., Made]) -> None:
    owner, lake, _, asked = make(policy=FlushPolicy(most_records=2, first_pause=QUICK.first_pause))
    await owner.resume({3}, {3: (0, 90)})
    lake.full_for = 5
    await asyncio.wait_for(owner.take(owner.prepare(batch(logged(0, 1), 0)), asked), 10)
    assert lake.full_for == 0
    assert owner.durable() == {3: 2}


async def test_a_table_that_is_kept_through_a_rebalance_goes_on_unless_the_lake_is_ahead(
    make: Callable[..., Made],
) -> None:
    owner, lake, _, asked = make()
    await owner.resume({3}, {3: (0, 90)})
    await owner.take(owner.prepare(batch(logged(0, 1), 0)), asked)
    assert await owner.resume({3}, {3: (0, 90)}) == {3: 2}
    lake.next_offset = 7  # another worker was quicker meanwhile
    assert await owner.resume({3}, {3: (0, 90)}) == {3: 7}
    assert owner.durable() == {3: 7}


async def test_a_run_that_another_worker_knew_is_brought_back_from_the_lake(
    make: Callable[..., Made],
) -> None:
    owner, lake, _, asked = make()
    await owner.resume({3}, {3: (0, 90)})
    await owner.take(owner.prepare(batch(logged(0, 1), 0)), asked)
    await owner.flush_all()
    await owner.resume(set(), {})
    assert await owner.resume({3}, {3: (0, 90)}) == {3: 2}
    assert (owner.progress().runs_held, owner.progress().runs_past) == (0, 1)
    lake.unreadable_for = 1
    await owner.take(owner.prepare(batch(logged(1, 2), 2)), asked)
    assert (asked.back, owner.positions()) == ([(3, 2)], {3: 2})
    await owner.take(owner.prepare(batch(logged(1, 2), 2)), asked)
    await owner.flush_all()
    [state] = lake.flushes[-1].states
    assert (state.events, state.first_offset, state.last_offset) == (3, 0, 2)


async def test_states_that_the_log_can_no_longer_give_come_from_the_stored_events(
    make: Callable[..., Made],
) -> None:
    owner, lake, _, _ = make(next_offset=0)
    whole = RunTable(LogPartition("a-topic", 3), 0)
    whole.take(batch(logged(0, 1, 2), 0))
    stored = flush_of(whole)
    lake.stored_events, lake.events_end = [rows_of(stored)], 5
    assert await owner.resume({3}, {3: (4, 90)}) == {3: 5}
    [written] = lake.flushes
    assert (written.events, written.states) == (None, stored.states)
    assert written.range == OffsetRange(0, 4)


async def test_where_neither_log_nor_lake_has_it_the_hole_is_named(
    make: Callable[..., Made],
) -> None:
    owner, lake, _, _ = make(next_offset=0)
    lake.events_end = 5
    with pytest.raises(LogGone, match="offsets 5 to 6 are gone"):
        await owner.resume({3}, {3: (7, 90)})


class Told(Observer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.what: list[tuple[str, int, object]] = []

    def flushed(self, flush: Flush, seconds: float) -> None:
        assert seconds >= 0
        self.what.append(("flushed", flush.log.partition, flush.counts.records))

    def held_up(self, partition: int, error: RunfoldError) -> None:
        self.what.append(("held up", partition, error.code))

    def reads_again(self, partition: int) -> None:
        self.what.append(("reads again", partition, None))


async def test_an_observer_is_told_what_becomes_of_the_partitions() -> None:
    lake, asked, told = MemoryLake(), Asked(), Told()
    owner = Partitions(
        "events",
        "a-topic",
        lake=lake,
        dead_letters=Letters(),
        policy=QUICK,
        check_log=unchanged,
        observer=told,
    )
    await owner.resume({3}, {3: (0, 90)})
    await owner.take(owner.prepare(batch(logged(4), 4)), asked)
    await owner.take(owner.prepare(batch(logged(0, 1), 0)), asked)
    lake.full_for = 1
    await owner.flush(3)
    await owner.flush(3)
    assert told.what == [
        ("reads again", 3, None),
        ("held up", 3, "lake_unavailable"),
        ("flushed", 3, 2),
    ]


async def test_nothing_is_written_of_records_that_may_be_of_another_log(
    make: Callable[..., Made],
) -> None:
    answers: list[Exception | None] = [None, BrokerUnavailable("down"), BrokerUnavailable("down"),
                                       None, LogReplaced("another")]  # fmt: skip

    async def check() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    owner, lake, letters, asked = make(check_log=check)
    await owner.resume({3}, {3: (0, 90)})
    bad = RecordBatch(LogPartition("a-topic", 3), 0, [0], [0], [b"key"], [b"junk"])
    await owner.take(owner.prepare(bad), asked)
    assert not await owner.flush(3)
    await owner.flush_all()
    with pytest.raises(LogReplaced):
        await owner.flush_all()
    assert (lake.flushes, letters.sent, owner.durable()) == ([], [], {3: 0})
