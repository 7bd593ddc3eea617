"""Sets of states: which there are, which serves, and how two of them differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runfold.schemas.errors import ConfigurationError, StatesSwitched
from runfold.schemas.offsets import OffsetRange
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import Kind, list_whole_lake
from runfold.sinks.query import open_lake
from runfold.sinks.state_diff import diff_states
from runfold.sinks.state_sets import (
    ORIGINAL,
    StateSet,
    all_sets,
    check_name,
    find_set,
    remove_set,
    serve,
    serving_set,
    write_set,
)
from runfold.sinks.storage import at
from runfold.sinks.views import prepare_lake
from tests.unit.test_sinks_resume import LOG, flush_of, resumed, truth_at


@pytest.fixture
def lake(tmp_path: Path) -> LocalLake:
    """Give a lake of ten records, and an empty set beside it."""
    lake = LocalLake(tmp_path)
    lake.write(flush_of(OffsetRange(0, 9)))
    write_set(tmp_path, StateSet("other"))
    return lake


def test_the_original_set_serves_until_another_one_is_told_to(lake: LocalLake) -> None:
    assert [each.name for each in all_sets(lake.root)] == [ORIGINAL, "other"]
    assert serving_set(lake.root).name == ORIGINAL
    serve(lake.root, "other")
    assert serving_set(lake.root).name == "other"
    serve(lake.root, ORIGINAL)
    assert serving_set(lake.root).name == ORIGINAL


def test_a_set_holds_states_of_its_own_over_the_events_of_the_lake(lake: LocalLake) -> None:
    other = LocalLake(lake.root, replay="other")
    point = other.resume(LOG)
    assert (point.next_offset, point.events_end, len(point.runs)) == (0, 10, 0)
    other.write(replace(flush_of(OffsetRange(0, 4)), events=None))
    assert resumed(other) == (5, truth_at(5))
    assert resumed(lake) == (10, truth_at(10))


def test_readers_see_the_set_that_serves(lake: LocalLake) -> None:
    other = LocalLake(lake.root, replay="other")
    flush = flush_of(OffsetRange(0, 9))
    free = [replace(state, events=0) for state in flush.states]
    other.write(replace(flush, events=None, states=free))

    def events_told() -> int:
        with open_lake(lake.root) as queries:
            return int(queries.rows("select sum(events)::int as n from runs")[0]["n"])

    assert events_told() == 10
    serve(lake.root, "other")
    prepare_lake(lake.root)
    assert events_told() == 0
    assert "_replays/other" in at(lake.root / "views.sql").read().decode()


def test_a_worker_of_a_set_that_serves_no_longer_writes_no_more(lake: LocalLake) -> None:
    serve(lake.root, "other")
    before = list_whole_lake(lake.root, Kind.EVENTS)
    with pytest.raises(StatesSwitched, match="'other' serves now"):
        lake.write(flush_of(OffsetRange(10, 14)))
    assert list_whole_lake(lake.root, Kind.EVENTS) == before


def test_a_removed_set_is_gone(lake: LocalLake) -> None:
    LocalLake(lake.root, replay="other").write(replace(flush_of(OffsetRange(0, 4)), events=None))
    remove_set(lake.root, "other")
    assert "other" not in at(lake.root / "_replays").names()
    with pytest.raises(ConfigurationError, match="there are original"):
        find_set(lake.root, "other")


@pytest.mark.parametrize("name", ["", "Big", "a/b", "../x", "original", "states", "events", "é"])
def test_a_name_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a name for a replay"):
        check_name(name)


def test_two_sets_are_compared_as_far_as_both_reach(lake: LocalLake) -> None:
    other = LocalLake(lake.root, replay="other")
    other.write(replace(flush_of(OffsetRange(0, 4)), events=None))
    found = diff_states(lake.root, ORIGINAL, "other", most_runs=10)
    later = [state for state in truth_at(10).values() if state.last_offset > 4]
    assert found.changed_since == len(later) > 0
    assert found.is_same
    assert found.equal == len(truth_at(10)) - len(later)

    other.write(replace(flush_of(OffsetRange(5, 9)), events=None))
    assert diff_states(lake.root, ORIGINAL, "other", most_runs=10).is_same


def test_what_differs_is_told_by_column(lake: LocalLake) -> None:
    flush = flush_of(OffsetRange(0, 9))
    [first, second, *rest] = flush.states
    changed = replace(first, events=99, status="failure")
    other = LocalLake(lake.root, replay="other")
    other.write(replace(flush, events=None, states=[changed, *rest]))
    found = diff_states(lake.root, ORIGINAL, "other", most_runs=10)
    assert (found.equal, found.different, found.only_in_a, found.only_in_b) == (len(rest), 1, 1, 0)
    told = {run["run_id"]: run["differences"] for run in found.runs}
    assert told == {
        first.run_id: [
            {"column": "status", "a": "running", "b": "failure"},
            {"column": "events", "a": str(first.events), "b": "99"},
        ],
        second.run_id: [],
    }
    assert not found.is_same
