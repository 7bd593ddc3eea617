"""Run states as Arrow tables and back."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas.codec.arrow import lake_state_schema, states_from_table, states_to_table
from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.run_state import LastError, LastTool, MetricValue, RunState, Stamp

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_COUNT = st.integers(0, 2**62)
_TIME = st.integers(-(2**55), 2**55)
_STAMP = st.builds(Stamp, _TIME, _COUNT)
_JSON = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT


@st.composite
def _id_sets(draw: st.DrawFn) -> EventIdSet:
    known = EventIdSet()
    for producer in draw(st.lists(st.sampled_from("abc"), unique=True)):
        for sequence in draw(st.lists(st.integers(1, 40), min_size=1, max_size=12)):
            known.add_sequence(producer, sequence)
    for event_id in draw(st.lists(_TEXT, max_size=4)):
        known.add(event_id)
    return known


_STATES = st.builds(
    RunState,
    run_id=_TEXT,
    agent_name=st.none() | _TEXT,
    items_failed=st.none() | _COUNT,
    status=_TEXT,
    started_at=st.none() | _TIME,
    last_recorded_at=st.none() | _TIME,
    first_offset=_COUNT,
    last_offset=_COUNT,
    cost_nano_usd=st.integers(-(2**62), 2**62),
    last_tool=st.none() | st.builds(LastTool, st.none() | _TEXT, st.booleans(), _STAMP),
    last_error=st.none() | st.builds(LastError, st.none() | _TEXT, st.none() | _TEXT, _STAMP),
    metrics=st.dictionaries(
        _TEXT,
        st.builds(MetricValue, st.none() | st.floats(allow_nan=False), st.none() | _TEXT, _STAMP),
        max_size=3,
    ),
    attributes=st.dictionaries(_TEXT, _JSON | st.lists(_JSON, max_size=2), max_size=3),
    stamps=st.dictionaries(_TEXT, _STAMP, max_size=3),
    seen=_id_sets(),
)


@given(st.lists(_STATES, max_size=12))
def test_states_come_back_equal(states: list[RunState]) -> None:
    table = states_to_table(states)
    table.validate(full=True)
    assert table.schema == lake_state_schema()
    assert list(states_from_table(table)) == states


@given(st.lists(_STATES, min_size=2, max_size=12), st.data())
def test_a_part_of_a_table_gives_its_own_states(
    states: list[RunState], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(states)))
    length = data.draw(st.integers(0, len(states) - start))
    part = states_to_table(states).slice(start, length)
    assert list(states_from_table(part)) == states[start : start + length]


def test_equal_states_give_equal_rows_whatever_the_order_they_were_filled_in() -> None:
    first, second = RunState("r"), RunState("r")
    for state, names in ((first, "ab"), (second, "ba")):
        for name in names:
            state.metrics[name] = MetricValue(1.0, None, Stamp(1, 2))
            state.stamps[name] = Stamp(3, 4)
            state.attributes[name] = 5
            state.seen.add_sequence(name, 1)
            state.seen.add(f"foreign {name}")
    assert states_to_table([first]).equals(states_to_table([second]))


def test_states_share_nothing_with_one_another() -> None:
    one, other = states_from_table(states_to_table([RunState("a"), RunState("b")]))
    one.attributes["x"] = 1
    one.seen.add("x")
    assert (other.attributes, len(other.seen)) == ({}, 0)


def test_reading_more_than_one_batch_leaves_the_garbage_collector_on() -> None:
    states = [RunState(f"r{i}", last_offset=i) for i in range(9000)]
    reading = states_from_table(states_to_table(states))
    assert next(reading) == states[0]
    assert gc.isenabled()
    assert list(reading) == states[1:]
