"""Sending dead letters again: the event first, then the mark on the letter.

A crash between the two sends the event once more, under the same id, and the fold drops it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from runfold.processors.dead_letters import DeadLetterSender
from runfold.processors.letter_plans import Plan
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.producers.kafka_records import RecordSender
from runfold.schemas.kept_letter import LetterState, Resolution

Send = Callable[[Sequence[Plan]], Awaitable[None]]
"""Returns when the events of these plans are acknowledged and their letters are marked."""


@asynccontextmanager
async def fixing(
    bootstrap: str, topic: str, *, by: str, schema_registry: str | None = None
) -> AsyncIterator[Send]:
    """Give what publishes repaired events to `topic`. Raises: BrokerUnavailable (retry)."""
    async with (
        _marking(bootstrap, topic, LetterState.FIXED, by) as mark,
        KafkaPublisher(bootstrap, topic=topic, schema_registry=schema_registry) as publisher,
    ):

        async def send(plans: Sequence[Plan]) -> None:
            for each in plans:
                if each.event is not None:
                    await publisher.publish(each.event)
            await publisher.flush()
            await mark(plans)

        yield send


@asynccontextmanager
async def redriving(bootstrap: str, topic: str) -> AsyncIterator[Send]:
    """Give what sends the original records to `topic`. Raises: BrokerUnavailable (retry)."""
    async with (
        _marking(bootstrap, topic, LetterState.REDRIVEN) as mark,
        RecordSender(bootstrap, topic) as sender,
    ):

        async def send(plans: Sequence[Plan]) -> None:
            letters = [each.letter for each in plans]
            await sender.send((each.key, each.value, each.headers) for each in letters)
            await mark(plans)

        yield send


@asynccontextmanager
async def _marking(
    bootstrap: str, topic: str, state: LetterState, by: str | None = None
) -> AsyncIterator[Send]:
    sender = DeadLetterSender(bootstrap, topic)

    async def mark(plans: Sequence[Plan]) -> None:
        now = datetime.now(UTC)
        await sender.mark(
            [
                (each.letter.place, Resolution(state, now, each.event["event_id"], by))
                for each in plans
                if each.event is not None
            ]
        )

    try:
        yield mark
    finally:
        await sender.close()
