"""Runs as they were: the macros give what the fold gives over the beginning of the log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from runfold.processors.fold import fold
from runfold.schemas.codec.arrow import states_to_table
from runfold.schemas.event import LoggedEvent
from runfold.schemas.offsets import LogPartition
from runfold.schemas.run_state import RunState
from runfold.sinks.query import open_lake
from runfold.sinks.views import prepare_lake, views_sql
from tests.event_strategies import frame_of, logs, telling_events
from tests.lakes_of_events import NOON_US, SECOND_US, LakeOfEvents, event

Row = dict[str, Any]
OF_THE_PRESENT = {"status", "silent_ms"}
"""What `runs` says as of now, and the macros as of then."""
NOT_TOLD = {"tree_cost_usd", "children", "open_children", "metrics", "attributes"}


class Folded:
    """The views, over events and states that are given as tables."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def show(self, log: list[LoggedEvent], states: list[RunState]) -> None:
        """Replace what the views show."""
        times = pl.from_epoch("occurred_at", "us"), pl.from_epoch("recorded_at", "us")
        frame = frame_of(log).with_columns(
            *(each.dt.replace_time_zone("UTC") for each in times),
            pl.lit("a-topic").alias("topic_id"),
            pl.from_epoch("recorded_at", "us").dt.date().alias("date"),
        )
        for name, table in (("these_events", frame.to_arrow()), ("these", states_to_table(states))):
            self._connection.register(name, table)
        self._connection.execute("create or replace view events as from these_events")
        self._connection.execute(
            "create or replace view lake_states as select *, 'a-topic' as topic_id from these"
        )

    def row(self, source: str, *parameters: object) -> Row:
        """Return the one row of `source`."""
        found = self._connection.execute(f"from {source}", parameters)
        names = [each[0] for each in found.description]
        (values,) = found.fetchall()
        return dict(zip(names, values, strict=True))


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folded]:
    """Give the views over nothing."""
    root = tmp_path_factory.mktemp("lake")
    prepare_lake(root)
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(views_sql(root))
        yield Folded(connection)


def once_each(log: list[LoggedEvent]) -> list[LoggedEvent]:
    """Return the log as the lake holds it: without repeated events."""
    kept = {(each.event.run_id, each.event.event_id): each for each in reversed(log)}
    return sorted(kept.values(), key=lambda each: each.offset)


def state_of(log: list[LoggedEvent]) -> RunState:
    state: RunState | None = None
    for each in log:
        state = fold(state, each)
    assert state is not None
    return state


def told(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in OF_THE_PRESENT | NOT_TOLD}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_run_after_some_of_its_events_is_the_fold_of_those(
    folded: Folded, data: st.DataObject
) -> None:
    log = once_each(data.draw(logs() | logs(min_size=4, max_size=8, of=telling_events())))
    of_run = [each for each in log if each.event.run_id == "run-1"]
    assume(of_run)
    known = of_run[: data.draw(st.integers(1, len(of_run)))]
    folded.show(log, [state_of(known)])
    expected = folded.row("runs")
    row = folded.row("run_after('run-1', ?)", len(known))
    assert told(row) == told(expected)
    assert set(expected) - set(row) == NOT_TOLD
    assert set(row) <= set(expected)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_run_at_a_time_is_what_was_recorded_until_then(
    folded: Folded, data: st.DataObject
) -> None:
    log = once_each(data.draw(logs()))
    of_run = [each for each in log if each.event.run_id == "run-1"]
    assume(of_run)
    at = data.draw(st.sampled_from(of_run)).recorded_at
    folded.show(log, [])
    moment = datetime.fromtimestamp(at / 1e6, UTC)
    known = sum(each.recorded_at <= at for each in of_run)
    row = folded.row("run_at('run-1', ?)", moment)
    assert told(row) == told(folded.row("run_after('run-1', ?)", known))
    assert row == folded.row("runs_at(?) where run_id = 'run-1'", moment)


@pytest.fixture
def lake(tmp_path: Path) -> LakeOfEvents:
    """Give a lake with a run of four events in three flushes, 200 seconds apart, and another."""
    lake = LakeOfEvents(tmp_path / "lake")
    lake.put(event("r", "run.started", 0, agent_name="a"), event("r", "run.heartbeat", 1))
    lake.put(
        event("r", "tool.started", 200, tool_name="bash"),
        event("other", "run.started", 200),
        recorded_at_us=NOON_US + 200 * SECOND_US,
    )
    return lake.put(event("r", "run.ended", 400), recorded_at_us=NOON_US + 400 * SECOND_US)


def ask(lake: LakeOfEvents, sql: str) -> list[tuple[Any, ...]]:
    with open_lake(lake.root) as queries:
        return [tuple(row.values()) for row in queries.rows(sql)]


def test_a_run_is_orphaned_where_it_was_silent_for_too_long_then(lake: LakeOfEvents) -> None:
    for clock, expected in (
        ("12:00:00", [("running", 2, 0)]),
        ("12:01:30", [("running", 2, 90_000)]),
        ("12:01:31", [("orphaned", 2, 91_000)]),
        ("12:03:20", [("running", 3, 0)]),
        ("12:06:40", [("success", 4, None)]),
        ("13:00:00", [("success", 4, None)]),
        ("11:59:59", []),
    ):
        moment = f"2025-11-13 {clock}+00"
        sql = f"select status, events, silent_ms from run_at('r', '{moment}')"
        assert ask(lake, sql) == expected, clock


def test_right_after_an_event_no_run_is_silent(lake: LakeOfEvents) -> None:
    columns = "status, last_tool, silent_ms, duration_ms"
    found = [ask(lake, f"select {columns} from run_after('r', {n})") for n in range(6)]
    assert found == [
        [],
        [("running", None, 0, 0.0)],
        [("running", None, 0, 1000.0)],
        [("running", "bash", 0, 200_000.0)],
        *[[("success", "bash", None, 400_000.0)]] * 2,
    ]


def test_all_runs_of_a_time_are_there(lake: LakeOfEvents) -> None:
    sql = "select run_id, events from runs_at('2025-11-13 {}+00') order by 1 desc"
    assert ask(lake, sql.format("12:03:00")) == [("r", 2)]
    assert ask(lake, sql.format("12:04:00")) == [("r", 3), ("other", 1)]


def test_of_two_logs_the_one_heard_of_last_by_then_counts(lake: LakeOfEvents) -> None:
    LakeOfEvents(lake.root, LogPartition("Another-topic", 0)).put(
        event("r", "run.started", 600), recorded_at_us=NOON_US + 600 * SECOND_US
    )
    sql = "select topic_id, events from "
    assert ask(lake, sql + "run_at('r', '2025-11-13 12:09:00+00')") == [("a-topic", 4)]
    assert ask(lake, sql + "run_at('r', '2025-11-13 12:11:00+00')") == [("Another-topic", 1)]
    assert ask(lake, sql + "run_after('r', 9)") == [("Another-topic", 1)]


@pytest.mark.parametrize(
    "source",
    ["run_at('r', '2025-11-13 12:30:00+00', since := date '2025-11-13')",
     "run_after('r', 3, since := date '2025-11-13')"],
)  # fmt: skip
def test_files_of_other_days_are_not_read(lake: LakeOfEvents, source: str) -> None:
    day_us = 24 * 3600 * SECOND_US
    lake.put(event("r", "custom", -1), recorded_at_us=NOON_US - day_us)
    for path in lake.root.glob("a-topic/events/date=2025-11-12/*/*.parquet"):
        path.write_bytes(b"")
    assert len(ask(lake, f"from {source}")) == 1
    with pytest.raises(Exception, match="2025-11-12"):
        ask(lake, f"from {source.split(', since')[0]})")


_PLAIN_DUCKDB = """
import json, sys, duckdb
connection = duckdb.connect()
connection.execute(open(sys.argv[1], encoding="utf-8").read())
sql = "select status from run_at('r', '2025-11-13 12:01:31+00') union all by name"
sql += " select status from run_after('r', 3)"
print(json.dumps(connection.execute(sql).fetchall()))
"""


def test_plain_duckdb_has_the_macros(lake: LakeOfEvents) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PLAIN_DUCKDB, str(lake.root / "views.sql")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [["orphaned"], ["running"]]
