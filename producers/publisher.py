"""Publishing events into the log, directly or by a collector."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Protocol

from runfold.schemas.errors import EventRejected
from runfold.schemas.topic import EVENTS
from runfold.schemas.vocabulary import DeadLetterReason

EventFields = Mapping[str, Any]
"""The set fields of one event by name; `occurred_at` in microseconds since 1970 UTC."""

Refused = Mapping[str, EventRejected]
"""Why an event can never be sent, by its id."""


def within_limit(value: bytes) -> bytes:
    """Return an event's bytes. Raises: EventRejected where they are more than an event may have."""
    if len(value) > EVENTS.max_event_bytes:
        message = f"{len(value)} bytes, more than the {EVENTS.max_event_bytes} of an event"
        raise EventRejected(DeadLetterReason.TOO_LARGE, message)
    return value


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

    async def flush(self) -> Refused:
        """Return when every event handed over is acknowledged by the log, or refused for ever.

        Shape: what was refused only now; empty for a log that is written directly.
        Raises: BrokerUnavailable (retry); what was not acknowledged may be published again.
        """


def open_publisher(
    address: str, *, patience: timedelta, schema_registry: str | None = None
) -> AbstractAsyncContextManager[Publisher]:
    """Return a publisher, not connected yet, for a Kafka at HOST:PORT or a collector's URL."""
    if is_url(address):
        from runfold.producers.http_publisher import HttpPublisher

        return HttpPublisher(address, patience=patience)
    from runfold.producers.kafka_publisher import KafkaPublisher

    return KafkaPublisher(address, patience=patience, schema_registry=schema_registry)


def is_url(address: str) -> bool:
    """Say whether an address is a collector's, not a Kafka's."""
    return address.lower().startswith(("http://", "https://"))
