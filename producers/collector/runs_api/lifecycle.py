"""Which records of the log say something of a run itself; most others are passed over unread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    topic_id: str, fetched: Mapping[int, Sequence[Any]], framing: Framing
) -> Iterator[tuple[int, LoggedEvent]]:
    """Yield the events that start, change and end runs, and that name their commits.

    Shape: `fetched` has aiokafka's records by partition; given are the partition and the event.
    All are decoded at once, since decoding one record costs as much as decoding a hundred.
    Records that are no events are passed over: the workers make dead letters of them.
    """
    wanted = [
        (partition, each)
        for partition, records in fetched.items()
        for each in records
        if each.value and any(word in each.value for word in _WORDS)
    ]
    if not wanted:
        return
    records = [each for _, each in wanted]
    batch = RecordBatch(
        LogPartition(topic_id, wanted[0][0]),
        records[0].offset,
        [each.offset for each in records],
        [each.timestamp for each in records],
        [each.key for each in records],
        [each.value for each in records],
    )
    frame = decode_event_batch(batch, framing).frame
    frame = frame.filter(frame["event_type"].is_in(_TYPES))
    frame = frame.with_columns(frame["occurred_at"].dt.timestamp("us"))
    for row, *values in frame.select("row", *EVENT_FIELDS).iter_rows():
        event = Event(**dict(zip(EVENT_FIELDS, values, strict=True)))
        partition, record = wanted[row]
        yield partition, LoggedEvent(event, record.offset, record.timestamp * 1000)
