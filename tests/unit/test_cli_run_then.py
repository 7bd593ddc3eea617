"""`runfold run ID --at` and `--at-event`: a run as it was, and moments that there are none of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from runfold.deploy.cli.app import run as run_command_line
from tests.lakes_of_events import LakeOfEvents, event, now_us

Runfold = Callable[..., tuple[int, str]]
HOUR = 3600
NOON = "2025-11-13 12:00:00 UTC"


@pytest.fixture
def runfold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Runfold:
    """Give the command line over the lake of the test; it returns its exit code and words."""

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["runfold", *words, "--lake", str(tmp_path / "lake")])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        said = capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, said.out + said.err

    monkeypatch.setenv("COLUMNS", "200")
    return call


@pytest.fixture(autouse=True)
def lake(tmp_path: Path) -> LakeOfEvents:
    """Give a lake with a run of four, two and one hours ago, and sub-runs that came later."""
    lake = LakeOfEvents(tmp_path / "lake")
    lake.put(
        event("top", "run.started", 0, agent_name="coder"),
        event("top", "llm.called", 1, cost_usd=0.5, model="m"),
        event("top", "tool.started", 2, tool_name="fetch"),
        recorded_at_us=now_us(4 * HOUR),
    )
    lake.put(
        event("top", "tool.ended", HOUR, tool_name="fetch"),
        event("below", "run.started", HOUR, parent_run_id="top"),
        event("below", "llm.called", HOUR, cost_usd=0.25),
        event("later", "custom", HOUR),
        recorded_at_us=now_us(2 * HOUR),
    )
    return lake.put(
        event("top", "run.ended", 2 * HOUR, status="failure", error_type="Boom"),
        event("below", "run.ended", 2 * HOUR),
        event("later", "run.updated", 2 * HOUR, parent_run_id="top"),
        recorded_at_us=now_us(HOUR),
    )


def test_a_run_is_shown_as_it_was_known_at_a_time(runfold: Runfold) -> None:
    code, said = runfold("run", "top", "--at", "200m")
    assert code == 0
    assert re.search(r"as of +20\S+ \S+ UTC, after 3 of 5 events", said)
    assert re.search(r"status +running", said)
    assert re.search(r"cost +\$0\.50 *\n", said)
    assert re.search(r"tools +0 ended, still in fetch", said)
    assert "tool.started" in said
    assert "tool.ended" not in said
    assert "Boom" not in said
    assert "sub-runs of" not in said


def test_a_run_is_shown_as_it_was_after_some_of_its_events(runfold: Runfold) -> None:
    code, said = runfold("run", "top", "--at-event", "4")
    assert code == 0
    assert "after 4 of 5 events" in said
    assert re.search(r"status +running", said)
    assert re.search(r"cost +\$0\.50, \$0\.75 with its sub-runs", said)
    assert re.search(r"── below running", said)
    assert "later" not in said
    assert re.search(r"status +failure", runfold("run", "top", "--at-event", "5")[1])


def test_silence_counts_up_to_the_time_that_is_asked_for(runfold: Runfold) -> None:
    _, said = runfold("run", "top", "--at", "150m")
    assert re.search(r"status +orphaned: silent for 1 h (29|30) m, died in tool fetch", said)


def test_the_last_events_before_the_moment_are_shown(runfold: Runfold) -> None:
    said = runfold("run", "top", "--at-event", "4", "-n", "2")[1]
    assert "2 earlier or quiet events; --all shows them" in said
    kinds = re.findall(r"(?:run|tool|llm)\.[a-z]+", said)
    assert kinds == ["tool.started", "tool.ended"]


def test_a_past_run_comes_as_json_with_its_events_and_sub_runs(runfold: Runfold) -> None:
    [shown] = json.loads(runfold("run", "top", "--at-event", "4", "-f", "json")[1])
    assert [each["event_type"] for each in shown["timeline"]] == [
        "run.started", "llm.called", "tool.started", "tool.ended",
    ]  # fmt: skip
    assert [each["run_id"] for each in shown["sub_runs"]] == ["below"]
    assert (shown["tree_cost_usd"], shown["children"], shown["open_children"]) == (0.75, 1, 1)
    assert shown["recorded_status"] == "running"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at", "yesterday"], "not a time: 'yesterday'; use 15m, 2h, 3d or 2026-"),
        (["--at", ""], "not a time: ''"),
        (["--at", "2025-11-12T07:00:00Z"],
         f"nothing was known of the run at 2025-11-12 07:00:00 UTC: the run began at {NOON}, "
         "recorded from 20"),
        (["--at", "9999-01-01"], "--at 9999-01-01: 9999-01-01 00:00:00 UTC is yet to come"),
        (["--at-event", "0"], "--at-event 0: a run's events are counted from 1, and it has 5"),
        (["--at-event", "-3"], "--at-event -3: a run's events are counted from 1, and it has 5"),
        (["--at-event", "4210"], "--at-event 4,210: a run's events are counted from 1, and it has"),
        (["--at", "1h", "--at-event", "1"], "--at and --at-event name two moments"),
    ],
)  # fmt: skip
def test_a_moment_that_there_is_none_of_is_refused(
    runfold: Runfold, options: list[str], message: str
) -> None:
    code, said = runfold("run", "top", *options)
    assert code == 2
    assert message in said


@pytest.mark.parametrize("options", [["--at", "1h"], ["--at-event", "1"]])
def test_an_unknown_run_is_refused_whatever_the_moment(
    runfold: Runfold, options: list[str]
) -> None:
    code, said = runfold("run", "nobody", *options)
    assert code == 2
    assert "there is no run 'nobody'" in said


def test_a_number_of_events_that_is_no_number_is_refused(runfold: Runfold) -> None:
    code, said = runfold("run", "top", "--at-event", "last")
    assert code == 2
    assert "--at-event" in said
