"""What the runs API takes of the log: the events of runs themselves that the workers take too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.producers.collector.runs_api.lifecycle import lifecycle_events
from runfold.schemas.codec.columns import decode_event_batch
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.framing import EVENT_FRAMING
from runfold.schemas.codec.registry import latest
from runfold.schemas.event import EARLIEST_US, EVENT_FIELDS, LATEST_US, Event
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.topic import EVENTS
from runfold.schemas.vocabulary import EventType
from tests.event_strategies import events

_OF_RUNS = {
    EventType.RUN_STARTED,
    EventType.RUN_UPDATED,
    EventType.RUN_ENDED,
    EventType.COMMIT_ASSOCIATED,
}
_ODD = ["key", "no value", "torn", "old", "more", "named", "large"]
_TOO_LONG = "x" * EVENTS.max_event_bytes
_encode = SparseEncoder(latest("event"))


@dataclass(frozen=True)
class Record:
    """A record as aiokafka gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def encoded(event: Event, **changes: Any) -> bytes:
    """Return the value of an event's record, without any check of what it says."""
    said = {**asdict(event), **changes}
    return _encode({name: value for name, value in said.items() if value is not None})


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """Draw records of events; some are damaged in a way of their own."""
    found: list[Record] = []
    for offset, event in enumerate(draw(st.lists(events(), max_size=8))):
        key: bytes | None = event.run_id.encode()
        value: bytes | None = encoded(event)
        match draw(st.sampled_from(["as it is"] * 6 + _ODD)):
            case "named":
                value = encoded(event, event_type="custom", name="run.started")
            case "large":
                value = encoded(event, event_type="run.started", attributes=_TOO_LONG)
            case "key":
                key = draw(st.sampled_from([None, b"another", b""]))
            case "no value":
                value = None
            case "torn":
                value = value[: draw(st.integers(0, len(value)))] if value else None
            case "old":
                wrong = draw(st.sampled_from([EARLIEST_US - 1, LATEST_US + 1, -1, 1 << 62]))
                value = encoded(event, occurred_at=wrong)
            case "more":
                value = encoded(event) + b"run.started"
        found.append(Record(offset, 1_790_000_000_000 + offset, key, value))
    return found


@given(records())
@settings(max_examples=80)
def test_the_follower_takes_just_what_the_workers_take(drawn: list[Record]) -> None:
    taken = [
        (partition, each.event, each.offset, each.recorded_at)
        for partition, each in lifecycle_events({3: drawn}, EVENT_FRAMING)
    ]
    expected = [(3, *each) for each in by_batch(drawn) if each[0].event_type in _OF_RUNS]
    assert repr(taken) == repr(expected)  # no NaN is equal to itself


def by_batch(drawn: list[Record]) -> list[tuple[Event, int, int]]:
    """Return what the workers' way of decoding makes of records."""
    if not drawn:
        return []
    batch = RecordBatch(
        LogPartition("t", 3),
        0,
        [each.offset for each in drawn],
        [each.timestamp for each in drawn],
        [each.key for each in drawn],
        [each.value for each in drawn],
    )
    frame = decode_event_batch(batch).frame
    frame = frame.with_columns(frame["occurred_at"].dt.timestamp("us"))
    return [
        (
            Event(**dict(zip(EVENT_FIELDS, values, strict=True))),
            drawn[row].offset,
            drawn[row].timestamp * 1000,
        )
        for row, *values in frame.select("row", *EVENT_FIELDS).iter_rows()
    ]
