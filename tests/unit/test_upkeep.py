"""How a worker keeps the files of the lake few without holding anything up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog.testing

from runfold.processors.upkeep import Upkeep
from runfold.schemas.errors import LakeUnavailable
from runfold.schemas.lake import CompactionCounts
from runfold.schemas.offsets import LogPartition
from runfold.sinks.lake import LocalLake


class Lake(LocalLake):
    """Notes which partitions are compacted; does `work` in between."""

    def __init__(self, root: Path, work: Callable[[int, Callable[[], bool]], None]) -> None:
        super().__init__(root)
        self.compacted: list[int] = []
        self._work = work

    def compact(
        self, log: LogPartition, *, stopped: Callable[[], bool] = lambda: False
    ) -> CompactionCounts:
        self.compacted.append(log.partition)
        self._work(log.partition, stopped)
        return CompactionCounts()


@pytest.mark.parametrize("error", [LakeUnavailable("disk full"), ZeroDivisionError()], ids=repr)
async def test_one_partition_that_fails_is_logged_and_the_others_have_their_turn(
    tmp_path: Path, error: Exception
) -> None:
    def fail_at_two(partition: int, _: Callable[[], bool]) -> None:
        if partition == 2:
            raise error

    lake = Lake(tmp_path, fail_at_two)
    with structlog.testing.capture_logs() as logged:
        await Upkeep(lake, "a-topic", lambda: {3, 1, 2}).round()
    assert lake.compacted == [1, 2, 3]
    assert [each["partition"] for each in logged] == [2]


async def test_a_partition_that_goes_to_another_worker_during_the_round_is_left_to_it(
    tmp_path: Path,
) -> None:
    owned = {1, 2}
    lake = Lake(tmp_path, lambda *_: owned.discard(2))
    await Upkeep(lake, "a-topic", lambda: owned).round()
    assert lake.compacted == [1]


async def test_the_event_loop_goes_on_while_a_partition_is_compacted(tmp_path: Path) -> None:
    released = threading.Event()

    def wait(_: int, __: Callable[[], bool]) -> None:
        released.wait(20)

    lake = Lake(tmp_path, wait)
    upkeep = asyncio.create_task(Upkeep(lake, "a-topic", lambda: {1}).round())
    while not lake.compacted:
        await asyncio.sleep(0)
    assert not upkeep.done()
    released.set()
    await upkeep


async def test_a_round_that_is_cancelled_makes_the_compaction_stop(tmp_path: Path) -> None:
    ended = threading.Event()

    def until_stopped(_: int, stopped: Callable[[], bool]) -> None:
        while not stopped():
            pass
        ended.set()

    lake = Lake(tmp_path, until_stopped)
    upkeep = asyncio.create_task(Upkeep(lake, "a-topic", lambda: {1, 2}).round())
    while not lake.compacted:
        await asyncio.sleep(0)
    upkeep.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upkeep
    assert await asyncio.to_thread(ended.wait, 20)
    assert lake.compacted == [1]
