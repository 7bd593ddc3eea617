"""Where many runs were heard of last."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas import past_runs
from runfold.schemas.past_runs import PastRuns

RUNS = st.sampled_from([f"run-{number}" for number in range(12)])
_COLUMNS = {"run_id": pl.String, "last_offset": pl.Int64}
HEARD = st.lists(RUNS, max_size=60)


@given(loaded=HEARD, heard=HEARD)
def test_the_last_offset_of_each_run_is_known(loaded: list[str], heard: list[str]) -> None:
    past = PastRuns()
    past.add_all(pl.DataFrame({"run_id": loaded, "last_offset": range(len(loaded))}, _COLUMNS))
    plain = {run_id: offset for offset, run_id in enumerate(loaded)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(past_runs, "_MOST_RECENT", 4)
        for offset, run_id in enumerate(heard, start=len(loaded)):
            past.add(run_id, offset)
            plain[run_id] = offset
    assert past.find(f"run-{number}" for number in range(14)) == plain
    assert len(past) >= len(plain)


def test_a_run_that_is_heard_of_again_is_known_by_its_newer_offset() -> None:
    past = PastRuns()
    past.add_all(pl.DataFrame({"run_id": ["a", "b"], "last_offset": [5, 6]}))
    past.add_all(pl.DataFrame({"run_id": ["b"], "last_offset": [2]}))
    past.add("a", 9)
    assert past.find(["a", "b", "c"]) == {"a": 9, "b": 6}


def test_nothing_is_known_at_the_beginning() -> None:
    assert PastRuns().find(["a"]) == {}
    assert len(PastRuns()) == 0
