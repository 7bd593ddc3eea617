"""Runs whose producer went silent: when they are orphaned, what is told of them, their return."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runfold.schemas.silence import HEARTBEAT, SilenceRule
from runfold.sinks.query import open_lake
from runfold.sinks.views import views_sql
from tests.lakes_of_events import LakeOfEvents, event, now_us


@pytest.fixture
def lake(tmp_path: Path) -> LakeOfEvents:
    """Give an empty lake."""
    return LakeOfEvents(tmp_path / "lake")


def ask(lake: LakeOfEvents, sql: str) -> list[tuple[Any, ...]]:
    with open_lake(lake.root) as queries:
        return [tuple(row.values()) for row in queries.rows(sql)]


def statuses(lake: LakeOfEvents) -> dict[str, str]:
    return dict(ask(lake, "select run_id, status from runs"))


def test_a_run_that_has_sent_heartbeats_is_orphaned_after_90_seconds_of_silence(
    lake: LakeOfEvents,
) -> None:
    for name, ago in (("dead", 91), ("alive", 80)):
        lake.put(event(name, "run.started"), recorded_at_us=now_us(1000))
        lake.put(event(name, "run.heartbeat", 5), recorded_at_us=now_us(ago))
    assert statuses(lake) == {"alive": "running", "dead": "orphaned"}


def test_a_run_that_never_sent_one_is_orphaned_after_an_hour(lake: LakeOfEvents) -> None:
    for name, ago in (("dead", 3601), ("alive", 3500)):
        lake.put(event(name, "run.started"), recorded_at_us=now_us(ago))
    assert statuses(lake) == {"alive": "running", "dead": "orphaned"}


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "odd"])
def test_a_run_that_ended_may_be_silent_for_ever(lake: LakeOfEvents, status: str) -> None:
    lake.put(event("r", "run.heartbeat"), event("r", "run.ended", status=status))
    assert "orphaned" not in statuses(lake).values()
    assert ask(lake, "select silent_ms from runs") == [(None,)]


def test_a_pending_run_is_orphaned_too_and_what_was_recorded_of_it_stays(
    lake: LakeOfEvents,
) -> None:
    lake.put(event("r", "run.started", status="pending"), recorded_at_us=now_us(7200))
    [(status, recorded, silent_ms)] = ask(
        lake, "select status, recorded_status, silent_ms from runs"
    )
    assert (status, recorded) == ("orphaned", "pending")
    assert 7_200_000 <= silent_ms < 7_300_000


def test_what_children_do_is_no_sign_of_their_parents_life(lake: LakeOfEvents) -> None:
    lake.put(event("parent", "run.heartbeat"), recorded_at_us=now_us(100))
    lake.put(event("child", "run.started", parent_run_id="parent"), recorded_at_us=now_us())
    assert statuses(lake) == {"child": "running", "parent": "orphaned"}


def test_open_children_are_direct_ones_that_have_not_ended_dead_or_alive(
    lake: LakeOfEvents,
) -> None:
    lake.put(
        event("top", "run.started"),
        event("ended", "run.ended", parent_run_id="top"),
        event("dead", "run.heartbeat", parent_run_id="top"),
        event("below", "run.started", parent_run_id="dead"),
    )
    lake.put(
        event("alive", "run.started", parent_run_id="top", status="pending"),
        recorded_at_us=now_us(),
    )
    assert dict(ask(lake, "select run_id, open_children from runs")) == {
        "top": 2, "ended": 0, "dead": 1, "below": 0, "alive": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("late", "status"),
    [("custom", "running"), ("run.heartbeat", "running"), ("run.ended", "success")],
)
def test_a_late_event_brings_a_run_back(lake: LakeOfEvents, late: str, status: str) -> None:
    lake.put(event("r", "run.started"), event("r", "run.heartbeat"), recorded_at_us=now_us(600))
    assert statuses(lake) == {"r": "orphaned"}
    lake.put(event("r", late, 600), recorded_at_us=now_us())
    assert statuses(lake) == {"r": status}


def test_a_clock_of_the_log_that_is_ahead_makes_no_silence(lake: LakeOfEvents) -> None:
    lake.put(event("r", "run.started"), recorded_at_us=now_us(-3600))
    assert ask(lake, "select status, silent_ms from runs") == [("running", 0)]


def test_two_heartbeats_may_be_late_before_a_run_is_taken_for_dead() -> None:
    assert SilenceRule().with_heartbeats >= 3 * HEARTBEAT


def test_another_rule_makes_other_views(lake: LakeOfEvents) -> None:
    lake.put(event("beating", "run.heartbeat"), event("never", "custom"), recorded_at_us=now_us(20))
    rule = SilenceRule(timedelta(seconds=10), timedelta(seconds=30))
    with duckdb.connect() as connection:
        connection.execute(views_sql(lake.root, rule))
        found = dict(connection.execute("select run_id, status from runs").fetchall())
    assert found == {"beating": "orphaned", "never": "running"}


@pytest.fixture
def dead(lake: LakeOfEvents) -> LakeOfEvents:
    """Give a lake with a run that died in a tool, with a sub-run of its own, 12 minutes ago."""
    return lake.put(
        event("dead", "run.started", agent_name="coder"),
        event("dead", "llm.called", 1, cost_usd=0.5, input_tokens=12_000),
        event("dead", "tool.started", 2, tool_name="fetch [x]"),
        event("dead", "run.heartbeat", 42),
        event("dead-1", "run.started", 3, parent_run_id="dead", agent_name="reader"),
        event("dead-1", "llm.called", 3, cost_usd=0.25),
        event("fine", "run.ended"),
        recorded_at_us=now_us(12 * 60),
    )


def runfold(lake: LakeOfEvents, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", *words, "--lake", str(lake.root)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_orphaned_runs_are_listed_with_what_they_died_in_and_left_behind(
    dead: LakeOfEvents,
) -> None:
    out = runfold(dead, "runs", "--status", "orphaned")
    header, _, row = out.strip().splitlines()[:3]
    assert re.split(r" {2,}", header.strip()) == [
        "run", "agent", "died in", "silent for", "started", "tokens", "cost", "open sub-runs",
    ]  # fmt: skip
    assert re.search(r"dead +coder +fetch \[x\] +12 m \d\d s .+ 12\.0k +\$0\.75 +1", row)
    assert "1 of 1 runs" in out
    assert re.search(r"dead +coder +orphaned", runfold(dead, "runs"))


def test_the_header_of_an_orphaned_run_says_how_it_was_left(dead: LakeOfEvents) -> None:
    silent = r"orphaned: silent for 12 m \d\d s, "
    died = r"died in tool fetch \[x\] \(open for 40\.0 s\), 1 open sub-run"
    assert re.search(f"status +{silent}{died} *\n", runfold(dead, "run", "dead"))
    dead.put(event("dead", "tool.ended", 700, tool_name="fetch [x]"), recorded_at_us=now_us())
    assert re.search(r"status +running *\n", runfold(dead, "run", "dead"))


def test_a_status_that_was_recorded_as_orphaned_is_only_that(lake: LakeOfEvents) -> None:
    lake.put(event("r", "run.ended", status="orphaned"))
    assert re.search(r"status +orphaned *\n", runfold(lake, "run", "r"))
    assert "1 of 1 runs" in runfold(lake, "runs", "--status", "orphaned")
