"""Requests that are answered together, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from runfold.producers.collector.runs_api.gathering import Gathering
from runfold.schemas.errors import BrokerUnavailable


class Doing:
    """Answers with what was asked, doubled; waits for `go` where told to, and can fail."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        self.groups.append(list(asked))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [2 * each for each in asked]


async def asking(
    gathering: Gathering[int, int], numbers: Sequence[int], size: int = 1
) -> list[asyncio.Task[int]]:
    """Return tasks that ask; the first is being answered, the others wait."""
    tasks = [asyncio.create_task(gathering.ask(each, size)) for each in numbers]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_is_asked_meanwhile_is_done_together_and_each_has_its_answer() -> None:
    doing = Doing()
    tasks = await asking(Gathering(doing), range(100))
    doing.go.set()
    assert await asyncio.gather(*tasks) == [2 * each for each in range(100)]
    assert doing.groups == [list(range(100))]


async def test_no_more_is_done_together_than_is_surely_done_in_time() -> None:
    doing = Doing()
    tasks = await asking(Gathering(doing), range(5), size=400)
    tasks += await asking(Gathering(doing), [5, 6], size=4000)
    doing.go.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(doing.groups) == [[0, 1], [2, 3], [4], [5], [6]]


async def test_one_who_asks_while_others_are_answered_comes_next() -> None:
    doing = Doing()
    gathering = Gathering(doing)
    first = await asking(gathering, [1])
    later = await asking(gathering, [2, 3])
    doing.go.set()
    assert await asyncio.gather(*first, *later) == [2, 4, 6]
    assert doing.groups == [[1], [2, 3]]


async def test_one_who_is_cancelled_takes_nothing_from_the_others() -> None:
    doing = Doing()
    gathering = Gathering(doing)
    leader, mate = await asking(gathering, [1, 2])
    waits, stays = await asking(gathering, [3, 4])
    leader.cancel()
    waits.cancel()
    await asyncio.wait({leader, waits})
    doing.go.set()
    assert list(await asyncio.gather(mate, stays)) == [4, 8]
    assert doing.groups[0] == [1, 2]


async def test_all_who_wait_learn_at_once_that_the_log_is_away() -> None:
    doing = Doing()
    gathering = Gathering(doing)
    doing.error = BrokerUnavailable("away")
    tasks = [*await asking(gathering, [1]), *await asking(gathering, [2, 3])]
    doing.go.set()
    for each in tasks:
        with pytest.raises(BrokerUnavailable, match="away"):
            await each
    assert doing.groups == [[1]]
    doing.error = None
    assert await gathering.ask(4, 1) == 8


async def test_another_failure_is_told_to_those_who_were_done_together_alone() -> None:
    doing = Doing()
    gathering = Gathering(doing)
    doing.error = ValueError("odd")
    first = await asking(gathering, [1])
    later = await asking(gathering, [2])
    doing.go.set()
    with pytest.raises(ValueError, match="odd"):
        await first[0]
    doing.error = None
    assert await later[0] == 4
