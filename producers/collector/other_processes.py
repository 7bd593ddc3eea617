"""Other processes for what would hold up all requests: one process reads Python on one core only.

Each is a Python of its own, started when it is needed first, and ends with the collector, also when
that is killed. Signals are for the collector alone, which finishes what was begun.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from multiprocessing.connection import wait
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import structlog

from runfold.schemas.errors import CollectorBusy

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MOST_PROCESSES = 4
_RETRY_AFTER = timedelta(seconds=1)


class OtherProcesses:
    """Runs functions in other processes for as long as its context lasts."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what `function` of the top level of a module returns of values that are pickled.

        Raises: CollectorBusy (retry) where the process died; what the function raises.
        """
        pool = self._pool
        if pool is None:
            pool = self._pool = _new_pool()
        try:
            future = pool.submit(function, *args, **kwargs)
            return await asyncio.wrap_future(future)
        except BrokenProcessPool as error:
            structlog.get_logger(__name__).warning("a process of the collector died")
            if self._pool is pool:
                self._pool = None
                pool.shutdown(wait=False)
            raise CollectorBusy("a process of the collector died", _RETRY_AFTER) from error


def _new_pool() -> ProcessPoolExecutor:
    # Not forked: a copy of a process with threads and connections may hang.
    return ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, _MOST_PROCESSES),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
    )


def _begin() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
