"""Decoding a batch as columns keeps and rejects what decoding record by record does."""

from __future__ import annotations

from dataclasses import asdict

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas.codec.columns import ROW, Rejected, decode_event_batch
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.framing import written_header
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import EventRejected
from runfold.schemas.event import EVENT_FIELDS, Event
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.topic import EVENTS
from tests.event_strategies import events

ENCODE = SparseEncoder(latest("event"))
Record = tuple[bytes | None, bytes | None]


def encoded(event: Event) -> Record:
    return event.run_id.encode(), ENCODE(asdict(event))


def batch_of(records: list[Record]) -> RecordBatch:
    return RecordBatch(
        LogPartition("a-topic", 0),
        0,
        list(range(len(records))),
        [1_763_000_000_000] * len(records),
        [key for key, _ in records],
        [value for _, value in records],
    )


def events_in(frame: pl.DataFrame) -> dict[int, str]:
    with_integers = frame.with_columns(pl.col("occurred_at").dt.timestamp("us"))
    return {
        row: repr(Event(**dict(zip(EVENT_FIELDS, values, strict=True))))
        for row, *values in with_integers.select(ROW, *EVENT_FIELDS).iter_rows()
    }


def one_by_one(records: list[Record]) -> tuple[dict[int, str], dict[int, str]]:
    kept: dict[int, str] = {}
    rejected: dict[int, str] = {}
    for row, (key, value) in enumerate(records):
        if key is None or value is None:
            rejected[row] = "no_key" if key is None else "no_value"
            continue
        try:
            event = decode_event(value)
        except EventRejected as error:
            rejected[row] = error.reason
            continue
        if event.run_id.encode() != key:
            rejected[row] = "key_mismatch"
        else:
            kept[row] = repr(event)
    return kept, rejected


def torn(record: Record, kept_bytes: int) -> Record:
    key, value = record
    return key, value[:kept_bytes] if value is not None else None


def lengthened(record: Record, junk: bytes) -> Record:
    key, value = record
    return key, (value or b"") + junk


HEADER = written_header("event")
GOOD = events().map(encoded)
BAD: st.SearchStrategy[Record] = st.one_of(
    st.tuples(st.none(), st.binary(max_size=8)),
    st.tuples(st.just(b"run-1"), st.none()),
    st.tuples(st.just(b"run-1"), st.binary(max_size=30)),
    st.builds(torn, GOOD, st.integers(0, 70)),
    st.builds(lengthened, GOOD, st.binary(min_size=1, max_size=60)),
    st.tuples(st.just(b"other"), GOOD.map(lambda record: record[1])),
    st.tuples(st.just(b"run-1"), st.binary(max_size=20).map(lambda junk: HEADER + junk)),
)


@given(st.lists(st.one_of(GOOD, GOOD, BAD), min_size=1, max_size=12))
def test_a_batch_decodes_as_its_records_do_one_by_one(records: list[Record]) -> None:
    kept, rejected = one_by_one(records)
    decoded = decode_event_batch(batch_of(records))
    assert events_in(decoded.frame) == kept
    assert {each.row: str(each.reason) for each in decoded.rejected} == rejected


@pytest.mark.parametrize(
    ("changed", "reason", "said"),
    [
        ({"event_id": ""}, "missing_id", "event_id and run_id must not be empty"),
        ({"run_id": ""}, "missing_id", "event_id and run_id must not be empty"),
        ({"event_type": ""}, "missing_type", "event_type must not be empty"),
        ({"occurred_at": -62_135_596_800_000_000}, "bad_time", "-62135596800000000 microseconds"),
        ({"occurred_at": 2**63 - 1}, "bad_time", "outside the years 2000 to 2199"),
    ],
)
def test_an_event_that_says_too_little_is_rejected_and_its_neighbours_are_kept(
    changed: dict[str, object], reason: str, said: str
) -> None:
    good = {"event_id": "a", "run_id": "r", "event_type": "custom", "occurred_at": 10**15}
    records = [encoded(Event(**fields)) for fields in (good, good | changed, good)]  # type: ignore[arg-type]
    decoded = decode_event_batch(batch_of(records))
    assert decoded.frame[ROW].to_list() == [0, 2]
    [rejected] = decoded.rejected
    assert (rejected.row, rejected.reason) == (1, reason)
    assert said in rejected.message


def test_a_huge_record_is_rejected_before_it_is_decoded() -> None:
    key, value = encoded(Event(event_id="a", run_id="r", event_type="custom", occurred_at=10**15))
    huge = (key, bytes(EVENTS.max_event_bytes + 1))
    decoded = decode_event_batch(batch_of([(key, value), huge]))
    assert decoded.frame.height == 1
    message = f"{EVENTS.max_event_bytes + 1} bytes, more than the {EVENTS.max_event_bytes}"
    assert decoded.rejected == [Rejected(1, "too_large", f"{message} that an event may have")]


def test_damage_among_many_records_costs_only_the_damaged_ones() -> None:
    good = [
        encoded(Event(event_id=str(n), run_id="r", event_type="custom", occurred_at=10**15 + n))
        for n in range(700)
    ]
    records = [torn(each, 14) if n in {5, 300, 699} else each for n, each in enumerate(good)]
    decoded = decode_event_batch(batch_of(records))
    assert [each.row for each in decoded.rejected] == [5, 300, 699]
    kept = [str(n) for n in range(700) if n not in {5, 300, 699}]
    assert decoded.frame["event_id"].to_list() == kept
