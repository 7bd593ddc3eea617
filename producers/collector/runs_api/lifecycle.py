"""Which records of the log say something of a run itself; most others are passed over unread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.codec.framing import Framing
from runfold.schemas.errors import EventRejected
from runfold.schemas.event import EARLIEST_US, LATEST_US, Event, LoggedEvent
from runfold.schemas.topic import EVENTS
from runfold.schemas.vocabulary import EventType

_TYPES = frozenset(
    {
        EventType.RUN_STARTED.value,
        EventType.RUN_UPDATED.value,
        EventType.RUN_ENDED.value,
        EventType.COMMIT_ASSOCIATED.value,
    }
)
_WORDS = tuple(each.encode() for each in _TYPES)


def lifecycle_events(
    fetched: Mapping[int, Sequence[Any]], framing: Framing
) -> Iterator[tuple[int, LoggedEvent]]:
    """Yield the events that start, change and end runs, and that name their commits.

    Shape: `fetched` has aiokafka's records by partition; given are the partition and the event.
    They are decoded one by one, since mostly a few come at once, and to decode a batch as columns
    costs as much as forty of them. Records that are no events are passed over: the workers make
    dead letters of them.
    """
    for partition, records in fetched.items():
        for record in records:
            if record.value and any(word in record.value for word in _WORDS):
                event = _event_of(record, framing)
                if event is not None and event.event_type in _TYPES:
                    yield partition, LoggedEvent(event, record.offset, record.timestamp * 1000)


def _event_of(record: Any, framing: Framing) -> Event | None:
    """Return the event of a record, None where the workers find that it is none."""
    if len(record.value) > EVENTS.max_event_bytes:
        return None
    try:
        event = decode_event(record.value, framing)
    except EventRejected:
        return None
    is_valid = event.event_id and event.run_id.encode() == record.key
    return event if is_valid and EARLIEST_US <= event.occurred_at <= LATEST_US else None
