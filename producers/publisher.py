"""Publishing events to Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

EventFields = Mapping[str, Any]
"""The set fields of one event by name; `occurred_at` in microseconds since 1970 UTC."""


class Publisher(Protocol):
    """Puts events into the log. Used from one event loop.

    Delivery: at least once. Nothing is certain before `flush` returns; where it raises, all that
    was handed over since the last `flush` is to be published again, and readers of the log drop
    what they have seen by its `event_id`.
    """

    async def publish(self, event: EventFields) -> None:
        """Hand over one event; waits only while the send buffer is full.

        Raises: EventRejected (dead_letter): this event can never be sent, the others are kept;
        BrokerUnavailable (retry): as `flush`, and again until `flush` has raised it.
        """

    async def flush(self) -> None:
        """Return when every event handed over is acknowledged by the log.

        Raises: BrokerUnavailable (retry); what was not acknowledged may be published again.
        """
