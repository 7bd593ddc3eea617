"""The columnar fold does what the fold does, event by event."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.processors.dedupe import drop_duplicates
from runfold.processors.fold import fold
from runfold.processors.fold_columns import fold_frame
from runfold.schemas.codec.arrow import states_to_table
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.run_state import RunState
from tests.event_strategies import frame_of, logs


def fold_one_by_one(log: list[LoggedEvent]) -> dict[str, RunState]:
    states: dict[str, RunState] = {}
    for logged in log:
        run_id = logged.event.run_id
        known = states.get(run_id)
        if known is None or logged.event.event_id not in known.seen:
            states[run_id] = fold(known, logged)
    return states


def fold_in_batches(log: list[LoggedEvent], cuts: set[int]) -> dict[str, RunState]:
    states: dict[str, RunState] = {}

    def state_of(run_id: str) -> RunState:
        return states.setdefault(run_id, RunState(run_id))

    edges = [0, *sorted(cut for cut in cuts if cut < len(log)), len(log)]
    for first, last in pairwise(edges):
        frame = frame_of(log[first:last])
        new = drop_duplicates(frame, lambda run_id: state_of(run_id).seen)
        changed = fold_frame(new, state_of)
        assert sorted(changed) == sorted(set(new["run_id"].to_list()))
    return states


def as_written(states: dict[str, RunState]) -> list[str]:
    table = states_to_table(states[run_id] for run_id in sorted(states))
    return [repr(row) for row in table.to_pylist()]  # as text: nan equals nan


@given(logs(), st.sets(st.integers(1, 25), max_size=4))
def test_folding_in_batches_equals_folding_event_by_event(
    log: list[LoggedEvent], cuts: set[int]
) -> None:
    one_by_one = fold_one_by_one(log)
    in_batches = fold_in_batches(log, cuts)
    assert as_written(in_batches) == as_written(one_by_one)


AT = 1_763_700_000_000_000


def said(offset: int, event_type: str, project: str | None) -> LoggedEvent:
    event = Event(
        event_id=f"e-{offset}", run_id="run", event_type=event_type, occurred_at=AT, project=project
    )
    return LoggedEvent(event, offset, AT)


@pytest.mark.parametrize(
    ("log", "project"),
    [
        ([("run.started", "ours"), ("run.updated", "theirs"), ("run.ended", "theirs")], "ours"),
        ([("run.started", None), ("run.updated", "ours"), ("llm.called", "theirs")], "ours"),
        ([("run.started", None), ("llm.called", "ours"), ("run.updated", "theirs")], "ours"),
        ([("llm.called", "theirs"), ("run.started", "ours"), ("run.started", "late")], "ours"),
    ],
)
def test_a_run_stays_in_the_project_that_it_started_in(
    log: list[tuple[str, str | None]], project: str
) -> None:
    events = [said(offset, *each) for offset, each in enumerate(log)]
    for states in (fold_one_by_one(events), fold_in_batches(events, set())):
        assert states["run"].project == project
