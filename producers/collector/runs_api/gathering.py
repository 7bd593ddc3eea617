"""Doing at once what many requests ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

from runfold.schemas.errors import BrokerUnavailable

_MOST_TOGETHER = 1000
"""As much as is surely read back in time; one request may be more."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Request(NamedTuple, Generic[Asked, Answer]):
    asked: Asked
    size: int
    answer: asyncio.Future[Answer]


class Gathering(Generic[Asked, Answer]):
    """Does together what is asked for while what was asked before is being done.

    Shape: `do` is given what was asked, in its order, and returns an answer to each. Who asks
    alone waits for nobody. Where the log is away, all who wait are told at once.
    """

    def __init__(self, do: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]]) -> None:
        self._do = do
        self._waiting: list[_Request[Asked, Answer]] = []
        self._turn = asyncio.Lock()

    async def ask(self, asked: Asked, size: int) -> Answer:
        """Return the answer. Raises: what `do` raises.

        Shape: `size` is how much is asked for. One who is cancelled takes nothing away from those
        that are answered together.
        """
        mine = _Request[Asked, Answer](asked, size, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        try:
            async with self._turn:
                if mine in self._waiting:
                    await asyncio.wait({asyncio.create_task(self._answer_together())})
            return await mine.answer
        finally:
            mine.answer.cancel()

    async def _answer_together(self) -> None:
        together = self._next()
        try:
            answers = await self._do([each.asked for each in together])
        except Exception as error:  # noqa: BLE001, handed on to those who asked
            if isinstance(error, BrokerUnavailable):
                together += self._waiting
                self._waiting.clear()
            for each in together:
                if not each.answer.done():
                    each.answer.set_exception(error)
        else:
            for each, answer in zip(together, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)

    def _next(self) -> list[_Request[Asked, Answer]]:
        """Return those who are answered next, and let them wait no longer."""
        sizes = accumulate(each.size for each in self._waiting)
        count = max(1, sum(size <= _MOST_TOGETHER for size in sizes))
        together, self._waiting = self._waiting[:count], self._waiting[count:]
        return together
