"""Publishing events to Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

EventFields = Mapping[str, Any]
"""The set fields of one event by name; `occurred_at` in microseconds since 1970 UTC."""


class Publisher(Protocol):
    """Puts events into the log. Used from one event loop."""

    async def publish(self, event: EventFields) -> None:
        """Hand over one event; waits only while the send buffer is full."""

    async def flush(self) -> None:
        """Return when every event handed over is acknowledged by the log.

        Raises: BrokerUnavailable (retry); what was not acknowledged may be published again.
        """
