"""The table of a partition: what it takes, what it passes over, what it hands on to the lake."""

from __future__ import annotations

from dataclasses import asdict, replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.processors.run_table import RunTable
from runfold.schemas.codec.arrow import lake_event_schema, states_to_table
from runfold.schemas.codec.columns import decode_event_batch
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import LakeAhead
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.lake import Flush
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.past_runs import PastRuns
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.run_state import RunState
from tests.event_strategies import logs
from tests.lake_logs import rows_of

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


def of_three_runs(*offsets: int) -> list[LoggedEvent]:
    return [
        replace(each, event=replace(each.event, run_id=f"run-{each.offset * each.offset % 7 % 3}"))
        for each in logged(*offsets)
    ]


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
    assert rows_of(flush_of(again)).equals(rows_of(flush_of(once)))


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
    assert (flush.range, flush.counts.records, rows_of(flush).height) == (OffsetRange(0, 1), 2, 2)
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
    assert rows_of(flush)["offset"].to_list() == [0]
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
    assert rows_of(flush).columns == lake_event_schema().names
    assert rows_of(flush)["offset"].to_list() == [0, 1, 2]
    assert rows_of(flush)["dead_letter_reason"].to_list() == [None, "not_avro", None]
    [letter] = table.dead_letters
    assert (letter.offset, letter.recorded_at, letter.key, letter.value) == (
        1,
        8000,
        b"key",
        JUNK,
    )
    row = rows_of(flush).row(1, named=True)
    assert (row["run_id"], row["event_id"]) == ("key", "rf00000000000000000001-7")
    assert flush.counts.records == flush.counts.events + flush.counts.dead_letters == 3


class Lake:
    """Holds the states that a table wrote last."""

    def __init__(self, table: RunTable, *, most_runs: int) -> None:
        self.table = table
        self.states: dict[str, RunState] = {}
        table.most_runs = most_runs

    def bring_back(self, frame: pl.DataFrame) -> list[str]:
        """Give the table what it asks for; return the runs asked for."""
        past = self.table.past_runs(frame)
        assert {run_id: self.states[run_id].last_offset for run_id in past} == past
        self.table.bring_back([self.states[run_id].copy() for run_id in past])
        return list(past)

    def flush(self) -> None:
        flush = flush_of(self.table)
        self.states |= {state.run_id: state.copy() for state in flush.states}
        self.table.flushed(flush)


def test_a_run_that_left_the_table_is_brought_back_by_its_next_event() -> None:
    table = RunTable(LOG, 0)
    lake = Lake(table, most_runs=1)
    brought_back: list[str] = []
    for first in range(0, 40, 2):
        both = batch(of_three_runs(first, first + 1), first)
        frame = decode_event_batch(both).frame
        brought_back += lake.bring_back(frame)
        table.take(both)
        lake.flush()
        assert len(table) <= 1
    whole = RunTable(LOG, 0)
    whole.take(batch(of_three_runs(*range(40)), 0))
    assert set(brought_back) == lake.states.keys()
    assert [lake.states[run_id] for run_id in sorted(lake.states)] == flush_of(whole).states


def test_a_table_over_past_runs_goes_on_where_they_end() -> None:
    whole = RunTable(LOG, 0)
    whole.take(batch(logged(0, 1, 2, 3), 0))
    first_half = RunTable(LOG, 0)
    first_half.take(batch(logged(0, 1), 0))
    past = PastRuns()
    for state in flush_of(first_half).states:
        past.add(state.run_id, state.last_offset)
    second_half = RunTable(LOG, 2, past)
    lake = Lake(second_half, most_runs=100)
    lake.states = {state.run_id: state for state in flush_of(first_half).states}
    rest = batch(logged(1, 2, 3), 1)
    assert lake.bring_back(decode_event_batch(rest).frame)
    second_half.take(rest)
    assert written(second_half) == written(whole)


def test_states_beyond_the_table_show_that_another_worker_has_taken_over() -> None:
    table = RunTable(LOG, 5)
    with pytest.raises(LakeAhead, match="this worker is at 5, and the lake has run r as of 5"):
        table.bring_back([RunState("r", last_offset=5)])


def test_runs_that_were_silent_for_ten_minutes_of_the_log_leave_the_table() -> None:
    table = RunTable(LOG, 0)
    for offset, minute in ((0, 0), (1, 9), (2, 11)):
        minute_us = (10**15 // 60_000_000 + minute) * 60_000_000
        one = LoggedEvent(replace(event(offset), run_id=f"run-{offset}"), offset, minute_us)
        table.take(batch([one], offset))
        table.flushed(flush_of(table))
    assert [table.state(f"run-{offset}") is None for offset in range(3)] == [True, False, False]
    assert table.past_count == 1


def test_stored_events_give_the_states_that_their_log_gave() -> None:
    whole = RunTable(LOG, 0)
    whole.take(batch(of_three_runs(*range(12)), 0))
    stored = flush_of(whole)
    table = RunTable(LOG, 0)
    for start in (0, 5):
        portion = rows_of(stored).slice(start, 5 if start == 0 else None)
        table.take_stored(portion, portion["offset"][-1] + 1)
    flush = flush_of(table)
    assert (flush.events, flush.range, flush.states) == (None, stored.range, stored.states)
    assert flush.counts.records == 12
