"""What a `with` block does that is a run or a piece of work in one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from runfold.producers.context import Scope


class Block(ABC):
    """Begins when its `with` or `async with` block is entered, and ends when it is left.

    `begin` and `end` record; `enter` and `leave` make it the current place and may be called in
    turns in between, as a generator does that goes on and waits.
    """

    _scope: Scope | None = None

    @abstractmethod
    def begin(self) -> None:
        """Record the start."""

    @abstractmethod
    def end(self, error: BaseException | None = None) -> None:
        """Record the end, by `error` where there is one."""

    def enter(self) -> None:
        """Make what is recorded from now on a part of it."""
        if self._scope is not None:
            self._scope.enter()

    def leave(self) -> None:
        """Undo `enter`."""
        if self._scope is not None:
            self._scope.leave()

    def __enter__(self) -> Self:
        self.begin()
        self.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        self.end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)
