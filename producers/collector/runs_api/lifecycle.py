"""Which records of the log say something of a run itself; most others are passed over unread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from runfold.schemas.codec.columns import decode_event_batch
from runfold.schemas.codec.framing import Framing
from runfold.schemas.event import EVENT_FIELDS, Event, LoggedEvent
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.vocabulary import EventType

_WORDS = (
    EventType.RUN_STARTED.value.encode(),
    EventType.RUN_UPDATED.value.encode(),
    EventType.RUN_ENDED.value.encode(),
    EventType.COMMIT_ASSOCIATED.value.encode(),
)
_TYPES = [word.decode() for word in _WORDS]


def lifecycle_events(
    topic_id: str, partition: int, records: Sequence[Any], framing: Framing
) -> Iterator[LoggedEvent]:
    """Yield the events that start, change and end runs, and that name their commits.

    Shape: `records` are aiokafka's, of one partition. Records that are no events are passed over:
    the workers make dead letters of them.
    """
    wanted = [each for each in records if each.value and any(w in each.value for w in _WORDS)]
    if not wanted:
        return
    batch = RecordBatch(
        LogPartition(topic_id, partition),
        wanted[0].offset,
        [each.offset for each in wanted],
        [each.timestamp for each in wanted],
        [each.key for each in wanted],
        [each.value for each in wanted],
    )
    frame = decode_event_batch(batch, framing).frame
    frame = frame.filter(frame["event_type"].is_in(_TYPES))
    frame = frame.with_columns(frame["occurred_at"].dt.timestamp("us"))
    for row, *values in frame.select("row", *EVENT_FIELDS).iter_rows():
        event = Event(**dict(zip(EVENT_FIELDS, values, strict=True)))
        yield LoggedEvent(event, wanted[row].offset, wanted[row].timestamp * 1000)
