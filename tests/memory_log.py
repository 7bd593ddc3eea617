"""A log in memory that can be down, for tests of what publishes into one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from runfold.producers.publisher import EventFields, Refused
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import BrokerUnavailable


class MemoryLog:
    """Keeps the events that were acknowledged; while `down` it acknowledges none."""

    def __init__(self) -> None:
        self.down = False
        self.events: list[dict[str, Any]] = []
        self.opened = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MemoryPublisher]:
        """Open a publisher. Raises: BrokerUnavailable while down."""
        if self.down:
            raise BrokerUnavailable("the log is down")
        self.opened += 1
        yield MemoryPublisher(self)

    @property
    def ids(self) -> list[str]:
        """The ids of the acknowledged events, in their order."""
        return [each["event_id"] for each in self.events]


class MemoryPublisher:
    """Publishes into a `MemoryLog` what the real encoder would encode."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._handed: list[dict[str, Any]] = []
        self._encode = SparseEncoder(latest("event"))

    async def publish(self, event: EventFields) -> None:
        """Hand over one event. Raises: EventRejected where it does not encode."""
        self._encode(event)
        self._handed.append(dict(event))

    async def flush(self) -> Refused:
        """Acknowledge what was handed over. Raises: BrokerUnavailable while down."""
        handed, self._handed = self._handed, []
        if self._log.down:
            raise BrokerUnavailable("the log is down")
        self._log.events += handed
        return {}


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait until `condition` holds. Raises: TimeoutError after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        time.sleep(0.01)
