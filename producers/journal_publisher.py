"""Publishing what a collector's journal holds: events, and dead letters beside them."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.producers.kafka_records import RecordSender
from runfold.producers.publisher import EventFields, Refused
from runfold.schemas.errors import EventRejected
from runfold.schemas.topic import DEAD_LETTERS
from runfold.schemas.vocabulary import DeadLetterReason

_LETTER = "dead_letter"


def letter_line(key: bytes, value: bytes) -> bytes:
    """Return the journal's line of a dead letter, by the key and value of its record."""
    record = {"key": key.decode(), "value": base64.b64encode(value).decode()}
    return orjson.dumps({_LETTER: record}) + b"\n"


class JournalPublisher(KafkaPublisher):
    """A `KafkaPublisher` that takes the lines of dead letters too, and sends them to their topic.

    Delivery: at least once; a letter that is sent again is the same letter.
    """

    _letters: tuple[tuple[bytes, bytes], ...] = ()

    async def publish(self, event: EventFields) -> None:
        """Hand over an event or a dead letter; see `Publisher`."""
        letter = event.get(_LETTER)
        if letter is None:
            await super().publish(event)
        else:
            self._letters += (_record(letter),)

    async def flush(self) -> Refused:
        """Return when all is acknowledged; see `Publisher`."""
        letters, self._letters = self._letters, ()
        refused = await super().flush()
        if letters:
            async with RecordSender(
                self._bootstrap, DEAD_LETTERS.name, patience=self._patience
            ) as sender:
                await sender.send((key, value, ()) for key, value in letters)
        return refused


def _record(letter: Any) -> tuple[bytes, bytes]:
    try:
        return letter["key"].encode(), base64.b64decode(letter["value"], validate=True)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise EventRejected(DeadLetterReason.BAD_BODY, f"not a dead letter: {error}") from error
