"""The table of a partition: what it takes, what it passes over, what it hands on to the lake."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.processors.run_table import RunTable
from runfold.schemas.codec.arrow import lake_event_schema, states_to_table
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.lake import Flush
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.record_batch import RecordBatch
from tests.event_strategies import logs

LOG = LogPartition("a-topic", 3)
ENCODE = SparseEncoder(latest("event"))


def batch(log: list[LoggedEvent], position: int) -> RecordBatch:
    return RecordBatch(
        LOG,
        position,
        [each.offset for each in log],
        [each.recorded_at // 1000 for each in log],
        [each.event.run_id.encode() for each in log],
        [ENCODE(asdict(each.event)) for each in log],
    )


def written(table: RunTable) -> list[str]:
    flush = table.pending()
    states = flush.states if flush else []
    return [repr(row) for row in states_to_table(states).to_pylist()]


def flush_of(table: RunTable) -> Flush:
    flush = table.pending()
    assert flush is not None
    return flush


def event(sequence: int, **fields: object) -> Event:
    return Event(
        event_id=f"rf00000000000000000001.1-{sequence}",
        run_id="run-1",
        event_type="custom",
        occurred_at=10**15,
        **fields,  # type: ignore[arg-type]
    )


def logged(*offsets: int) -> list[LoggedEvent]:
    return [LoggedEvent(event(offset + 1), offset, 10**15) for offset in offsets]


@given(logs().filter(bool), st.data())
def test_delivery_in_any_pieces_any_number_of_times_gives_the_same_states(
    log: list[LoggedEvent], data: st.DataObject
) -> None:
    first = log[0].offset
    once = RunTable(LOG, first)
    once.take(batch(log, first))
    again = RunTable(LOG, first)
    while again.next_offset < once.next_offset:
        done = sum(each.offset < again.next_offset for each in log)
        start = data.draw(st.integers(0, done))
        end = data.draw(st.integers(start, len(log)))
        if end > start:
            position = log[start - 1].offset + 1 if start else first
            again.take(batch(log[start:end], position))
    assert written(again) == written(once)
    assert flush_of(again).counts == flush_of(once).counts
    assert flush_of(again).events.equals(flush_of(once).events)


def test_a_batch_that_begins_behind_the_table_is_refused() -> None:
    table = RunTable(LOG, 5)
    with pytest.raises(ValueError, match="batch begins at 6, the table is at 5"):
        table.take(batch(logged(6), 6))


def test_offsets_without_a_record_before_a_batch_belong_to_its_range() -> None:
    table = RunTable(LOG, 5)
    table.take(batch(logged(9, 12), 5))
    assert flush_of(table).range == OffsetRange(5, 12)
    assert table.next_offset == 13


def test_what_is_flushed_is_handed_on_once() -> None:
    table = RunTable(LOG, 0)
    assert table.pending() is None
    table.take(batch(logged(0, 1), 0))
    flush = flush_of(table)
    assert (flush.range, flush.counts.records, flush.events.height) == (OffsetRange(0, 1), 2, 2)
    table.flushed(flush)
    assert table.pending() is None
    table.take(batch(logged(2), 2))
    assert flush_of(table).range == OffsetRange(2, 2)
    assert [state.events for state in flush_of(table).states] == [3]


def test_a_repeated_event_leaves_its_range_and_no_row() -> None:
    table = RunTable(LOG, 0)
    again = LoggedEvent(event(1), 1, 10**15)
    table.take(batch([*logged(0), again], 0))
    flush = flush_of(table)
    assert flush.range == OffsetRange(0, 1)
    assert flush.events["offset"].to_list() == [0]
    assert (flush.counts.events, flush.counts.duplicates) == (1, 1)


JUNK = b"junk" + b"\x30rf00000000000000000001-7" + b"junk"


def test_a_dead_letter_is_a_row_of_the_lake_with_its_reason() -> None:
    table = RunTable(LOG, 0)
    good = batch(logged(0, 2), 0)
    damaged = RecordBatch(
        LOG, 0, [0, 1, 2], [7, 8, 9], [good.keys[0], b"key", good.keys[1]],
        [good.values[0], JUNK, good.values[1]],
    )  # fmt: skip
    table.take(damaged)
    flush = flush_of(table)
    assert flush.events.columns == lake_event_schema().names
    assert flush.events["offset"].to_list() == [0, 1, 2]
    assert flush.events["dead_letter_reason"].to_list() == [None, "not_avro", None]
    [letter] = table.dead_letters
    assert (letter.offset, letter.recorded_at, letter.key, letter.value) == (
        1,
        8000,
        b"key",
        JUNK,
    )
    row = flush.events.row(1, named=True)
    assert (row["run_id"], row["event_id"]) == ("key", "rf00000000000000000001-7")
    assert flush.counts.records == flush.counts.events + flush.counts.dead_letters == 3


def test_a_table_over_loaded_states_goes_on_where_they_end() -> None:
    whole = RunTable(LOG, 0)
    whole.take(batch(logged(0, 1, 2, 3), 0))
    first_half = RunTable(LOG, 0)
    first_half.take(batch(logged(0, 1), 0))
    second_half = RunTable(LOG, 2, flush_of(first_half).states)
    second_half.take(batch(logged(1, 2, 3), 1))
    assert written(second_half) == written(whole)
