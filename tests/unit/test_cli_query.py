"""The commands that ask the lake: `runfold query`, `runfold runs`, `runfold run`."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from runfold.deploy.cli.app import run as run_command_line
from runfold.deploy.cli.runs import moment
from runfold.deploy.cli.terminal import OUT
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.event import Event
from runfold.sinks.lake import LocalLake
from tests.lakes_of_events import NOON_US, LakeOfEvents, encoded, event, now_us

Runfold = Callable[..., "Answer"]
MINTED = "rf00000000000000000001.1"


class Answer:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


@pytest.fixture
def lake(tmp_path: Path) -> LakeOfEvents:
    """Give an empty lake."""
    return LakeOfEvents(tmp_path / "lake")


@pytest.fixture
def runfold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Runfold:
    """Give the command line, over the lake of the test."""

    def call(*arguments: str, stdin: str = "") -> Answer:
        monkeypatch.setattr("sys.argv", ["runfold", *arguments, "--lake", str(tmp_path / "lake")])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        said = capsys.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, said.out, said.err)

    monkeypatch.setenv("COLUMNS", "200")
    return call


@pytest.fixture
def fleet(lake: LakeOfEvents) -> LakeOfEvents:
    """Give a lake with a run, its sub-run, that one's sub-run, and one that failed long ago."""
    return lake.put(
        event("run-a", "run.started", 60, agent_name="coder", project="shop", host="h1"),
        event("run-a", "tool.started", 61, tool_name="bash"),
        event("run-a", "llm.called", 62, input_tokens=1000, output_tokens=50, cost_usd=0.5),
        event("run-a", "run.heartbeat", 63),
        event("run-a-1", "run.started", 70, agent_name="reader", parent_run_id="run-a"),
        event("run-a-1", "llm.called", 71, cost_usd=0.25, model="m"),
        event("run-a-1-x", "run.ended", 80, agent_name="deep", parent_run_id="run-a-1"),
        event("old", "run.started", -3600, agent_name="cron", event_id=f"{MINTED}-1"),
        event("old", "run.ended", -3590, status="failure", error_type="Boom [x]",
              error_message="it :bug: broke", event_id=f"{MINTED}-4"),
        recorded_at_us=now_us(),
    )  # fmt: skip


@pytest.mark.usefixtures("fleet")
def test_a_query_prints_a_table(runfold: Runfold) -> None:
    answer = runfold("query", "select run_id, events from runs order by run_id")
    assert answer.code == 0
    assert [line.split() for line in answer.out.splitlines() if "run" in line or "old" in line] == [
        ["run_id", "events"],
        ["old", "2"],
        ["run-a", "4"],
        ["run-a-1", "2"],
        ["run-a-1-x", "1"],
    ]


@pytest.mark.usefixtures("fleet")
def test_a_query_prints_json(runfold: Runfold) -> None:
    sql = "select run_id, cost_usd, started_at, null as nothing from runs where run_id = 'run-a'"
    assert runfold("query", "-f", "json", sql).json == [
        {
            "run_id": "run-a",
            "cost_usd": 0.5,
            "started_at": "2025-11-13T12:01:00+00:00",
            "nothing": None,
        }
    ]


@pytest.mark.usefixtures("lake")
def test_a_query_prints_csv_that_comes_back_unchanged(runfold: Runfold) -> None:
    odd = ['quote " and, comma', "tab\there", "two\nlines", "cr\rhere", " spaces ", ":bug: [red]x"]
    values = ", ".join(f"('{text}')" for text in odd)
    answer = runfold("query", "-f", "csv", f"select * from (values {values}) as t(said)")
    rows = list(csv.reader(io.StringIO(answer.out, newline="")))
    assert rows == [["said"], *([text] for text in odd)]


@pytest.mark.usefixtures("lake")
def test_a_table_shows_texts_as_they_are(runfold: Runfold) -> None:
    answer = runfold("query", r"""select ':bug: [red]x[/] \[y' as said, 'a' as "[bold]" """)
    assert r":bug: [red]x[/] \[y" in answer.out
    assert "[bold]" in answer.out


@pytest.mark.usefixtures("lake")
def test_csv_keeps_microseconds_and_no_number_is_lost(runfold: Runfold) -> None:
    sql = (
        "select timestamptz '2025-11-13 12:00:00.000123+00' as at, true as yes, 'x'::blob as bytes,"
        " 0.1::double as number, 12345678901234567890123456789::hugeint as big"
    )
    answer = runfold("query", "-f", "csv", sql)
    assert answer.out.splitlines()[1] == (
        "2025-11-13 12:00:00.000123Z,true,78,0.1,12345678901234567890123456789"
    )


@pytest.mark.usefixtures("lake")
def test_json_takes_whatever_duckdb_gives(runfold: Runfold) -> None:
    answer = runfold(
        *("query", "-f", "json"),
        "select map([1], [date '2025-11-13']) as m, [1.50::decimal(9,2)] as d, 'nan'::double as n,"
        " interval 90 second as i, uuid '00000000-0000-0000-0000-000000000001' as u,"
        " 'x'::blob as b",
    )
    assert answer.json == [
        {
            "m": {"1": "2025-11-13"},
            "d": [1.5],
            "n": None,
            "i": 90.0,
            "u": "00000000-0000-0000-0000-000000000001",
            "b": "78",
        }
    ]
    big = runfold(
        "query", "-f", "json", "select 12345678901234567890123::hugeint as big, now() as t"
    )
    assert big.json[0]["big"] == 12345678901234567890123


@pytest.mark.usefixtures("lake")
def test_columns_of_one_name_are_all_kept(runfold: Runfold) -> None:
    assert runfold("query", "-f", "json", "select 1 as a, 2 as a").json == [{"a": 1, "a:1": 2}]


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_result_without_rows_still_has_its_header(runfold: Runfold, form: str) -> None:
    answer = runfold("query", "-f", form, "select run_id, status from runs")
    assert answer.code == 0
    if form == "json":
        assert answer.json == []
    else:
        assert re.split(r"[\s,]+", answer.out.strip())[:2] == ["run_id", "status"]


@pytest.mark.usefixtures("lake")
def test_a_query_is_read_from_stdin(runfold: Runfold) -> None:
    assert runfold("query", "-f", "csv", "-", stdin="select 7 as n").out == "n\n7\n"
    assert runfold("query", "-f", "csv", stdin="select 8 as n").out == "n\n8\n"


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_output_goes_to_a_file_without_colours(runfold: Runfold, tmp_path: Path, form: str) -> None:
    sql = "select run_id, repeat('x', 900) as long from runs order by run_id"
    printed = runfold("query", "-f", form, sql, "-o", str(tmp_path / "result"))
    assert (printed.code, printed.out) == (0, "")
    written = (tmp_path / "result").read_text("utf-8")
    assert "\x1b" not in written
    assert written.count("x" * 900) == 4
    if form != "table":
        assert written == runfold("query", "-f", form, sql).out


@pytest.mark.usefixtures("fleet")
def test_parquet_goes_to_a_file(runfold: Runfold, tmp_path: Path) -> None:
    path = tmp_path / "result.parquet"
    sql = "select run_id, events, 1 as a, 2 as a from runs order by run_id limit 2"
    assert runfold("query", "-f", "parquet", sql, "-o", str(path)).code == 0
    assert pl.read_parquet(path).rows() == [("old", 2, 1, 2), ("run-a", 4, 1, 2)]


def test_parquet_goes_into_a_pipe(fleet: LakeOfEvents) -> None:
    command = "from runfold.deploy.main import main; main()"
    lake = ["--lake", str(fleet.root)]
    done = subprocess.run(
        [sys.executable, "-c", command, "query", "-f", "parquet", "select 7 as n", *lake],
        capture_output=True,
        check=True,
    )
    assert pl.read_parquet(done.stdout).rows() == [(7,)]


@pytest.mark.usefixtures("fleet")
def test_what_cannot_be_written_is_said(runfold: Runfold, tmp_path: Path) -> None:
    answer = runfold("query", "-f", "csv", "select 1", "-o", str(tmp_path / "no" / "file"))
    assert answer.code == 1
    assert "No such file or directory" in answer.err


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", 'syntax error at or near "selec"'),
        ("select * from runz", "Table with name runz does not exist"),
        ("select no_such from runs", 'Referenced column "no_such"'),
        ("", "there is no statement"),
        ("select error('in the middle') from runs", "in the middle"),
    ],
)
def test_a_wrong_query_is_answered_with_what_duckdb_says_and_the_views(
    runfold: Runfold, sql: str, message: str
) -> None:
    answer = runfold("query", sql)
    assert answer.code == 2
    assert message in answer.err
    assert "views: events, runs, tools, llm_calls, dead_letters" in answer.err
    assert answer.out == ""


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{file}'",
        "select 1; copy (select 1) to '{file}'",
        "prepare p as copy (select 1) to '{file}'; execute p",
        "explain analyze copy (select 1) to '{file}'",
        "export database '{file}'",
        "attach '{file}' as other",
    ],
)
def test_nothing_is_written_by_a_query(runfold: Runfold, tmp_path: Path, sql: str) -> None:
    answer = runfold("query", sql.format(file=tmp_path / "written"))
    assert answer.code == 2
    assert "is not allowed here" in answer.err
    assert not (tmp_path / "written").exists()


@pytest.mark.usefixtures("fleet")
def test_statements_that_are_no_select_are_answered_too(runfold: Runfold) -> None:
    shown = runfold("query", "-f", "json", "describe runs").json
    assert {"run_id", "tree_cost_usd"} <= {row["column_name"] for row in shown}
    sql = "create temp table t as select run_id from runs; select count(*) as n from t"
    assert runfold("query", "-f", "json", sql).json == [{"n": 4}]
    assert runfold("query", "set threads = 1").code == 0


@pytest.mark.parametrize("command", [["query", "select 1"], ["runs"], ["run", "x"]])
def test_where_there_is_no_lake_it_is_said(runfold: Runfold, command: list[str]) -> None:
    answer = runfold(*command)
    assert answer.code == 1
    assert "there is no lake at" in answer.err


def ids(answer: Answer) -> list[str]:
    return [run["run_id"] for run in answer.json]


@pytest.mark.usefixtures("fleet")
def test_runs_are_listed_newest_first(runfold: Runfold) -> None:
    answer = runfold("runs")
    lines = [line for line in answer.out.splitlines() if re.search("run-a|old +cron", line)]
    assert [line.replace("└", " ").split()[:3] for line in lines] == [
        ["run-a-1-x", "deep", "success"],
        ["run-a-1", "reader", "running"],
        ["run-a", "coder", "running"],
        ["old", "cron", "failure"],
    ]
    assert "$0.75" in lines[2]
    assert "4 of 4 runs" in answer.out


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--agent", "coder"], ["run-a"]),
        (["--status", "failed"], ["old"]),
        (["--status", "running"], ["run-a-1", "run-a"]),
        (["--project", "shop"], ["run-a"]),
        (["--parent", "run-a"], ["run-a-1"]),
        (["--top"], ["run-a", "old"]),
        (["--top", "--status", "failure"], ["old"]),
        (["--since", "2025-11-13T12:01:05Z"], ["run-a-1-x", "run-a-1"]),
        (["--since", "2025-11-13 12:01:05"], ["run-a-1-x", "run-a-1"]),
        (["--since", "2025-11-13T14:01:05+02:00"], ["run-a-1-x", "run-a-1"]),
        (["--since", "2025-11-13"], ["run-a-1-x", "run-a-1", "run-a", "old"]),
        (["--since", "15m"], []),
        (["--limit", "2"], ["run-a-1-x", "run-a-1"]),
        (["--agent", "nobody's [x]"], []),
    ],
)
def test_runs_are_chosen_by_filters(
    runfold: Runfold, options: list[str], expected: list[str]
) -> None:
    assert ids(runfold("runs", "-f", "json", *options)) == expected


@pytest.mark.usefixtures("fleet")
def test_the_number_of_all_matching_runs_is_told(runfold: Runfold) -> None:
    assert "1 of 2 runs" in runfold("runs", "--top", "-n", "1").out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        (" 1w ", timedelta(weeks=1)),
    ],
)
def test_a_span_is_counted_back_from_now(text: str, expected: timedelta) -> None:
    now = datetime(2025, 11, 13, tzinfo=UTC)
    assert moment(text, now) == now - expected


def test_a_time_without_a_zone_is_utc_wherever_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        now = datetime(2025, 11, 13, tzinfo=UTC)
        assert moment("2025-11-12 10:00", now) == datetime(2025, 11, 12, 10, tzinfo=UTC)
    time.tzset()


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("text", ["", "yesterday", "15", "m", "-2h", "2025-13-01", "1h30m"])
def test_what_is_no_time_is_refused(runfold: Runfold, text: str) -> None:
    with pytest.raises(ConfigurationError):
        moment(text, datetime(2025, 11, 13, tzinfo=UTC))
    answer = runfold("runs", f"--since={text}")
    assert answer.code == 2
    assert "not a time" in answer.err


@pytest.mark.parametrize("text", ["9" * 12 + "w", "999999w", "999999999999d"])
def test_a_span_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a time"):
        moment(text, datetime(2025, 11, 13, tzinfo=UTC))


@pytest.mark.usefixtures("fleet")
def test_an_unknown_status_is_refused_and_the_known_ones_named(runfold: Runfold) -> None:
    answer = runfold("runs", "--status", "sleeping")
    assert answer.code == 2
    assert "no status 'sleeping'" in answer.err
    assert "cancelled" in answer.err


@pytest.mark.usefixtures("lake")
def test_an_empty_lake_says_what_brings_runs(runfold: Runfold) -> None:
    assert "no runs yet" in runfold("runs").out
    assert "runfold demo" in runfold("runs").out
    assert "no runs match" in runfold("runs", "--top").out
    assert runfold("runs", "-f", "json").json == []
    assert runfold("runs", "-f", "csv").out.startswith("run_id,parent_run_id,agent_name")


@pytest.mark.usefixtures("fleet")
def test_a_narrow_terminal_shows_fewer_columns(
    runfold: Runfold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OUT, "_width", 80)
    answer = runfold("runs")
    assert "agent" not in answer.out
    assert "success" in answer.out


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("beginning", ["run-a-1-x", "run-a-1-", "old", "o"])
def test_a_run_is_found_by_the_beginning_of_its_id(runfold: Runfold, beginning: str) -> None:
    expected = "old" if beginning.startswith("o") else "run-a-1-x"
    assert runfold("run", beginning, "-f", "json").json[0]["run_id"] == expected


@pytest.mark.usefixtures("fleet")
def test_a_whole_id_is_found_also_where_it_begins_others(runfold: Runfold) -> None:
    assert runfold("run", "run-a", "-f", "json").json[0]["run_id"] == "run-a"


@pytest.mark.usefixtures("fleet")
def test_a_beginning_of_several_ids_names_them(runfold: Runfold) -> None:
    answer = runfold("run", "run-")
    assert answer.code == 2
    assert "'run-' is the beginning of several runs: run-a, run-a-1, run-a-1-x\n" in answer.err


def test_of_very_many_runs_a_few_are_named(runfold: Runfold, lake: LakeOfEvents) -> None:
    lake.put(*(event(f"run-{i}", "run.started") for i in range(7)))
    assert "run-0, run-1, run-2, run-3, run-4 …" in runfold("run", "run").err


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("wrong", "hint"), [("run-b", "did you mean run-a "), ("zzz", "`runfold runs` lists them")]
)
def test_an_unknown_run_is_answered_with_those_that_are_near(
    runfold: Runfold, wrong: str, hint: str
) -> None:
    answer = runfold("run", wrong)
    assert answer.code == 2
    assert f"there is no run '{wrong}'; {hint}" in answer.err


@pytest.mark.usefixtures("fleet")
def test_a_run_is_shown_with_its_timeline_and_its_sub_runs(runfold: Runfold) -> None:
    out = runfold("run", "run-a").out
    assert re.search(r"agent +coder", out)
    assert re.search(r"cost +\$0\.50, \$0\.75 with its sub-runs", out)
    assert re.search(r"tools +0 ended, still in bash", out)
    assert re.search(r"record +complete, 4 events", out)
    assert re.search(r"\+1\.0 s +tool\.started +bash", out)
    assert "run.heartbeat" not in out
    assert "1 more events; --all shows them" in out
    tree = out[out.index("sub-runs of") :]
    assert re.search(r"── run-a-1 reader running", tree)
    assert re.search(r"^ +└── run-a-1-x deep success", tree, re.MULTILINE)
    assert tree.count("run-a-1-x") == 1


@pytest.mark.usefixtures("fleet")
def test_all_events_are_shown_where_all_are_asked_for(runfold: Runfold) -> None:
    out = runfold("run", "run-a", "--all").out
    assert "run.heartbeat" in out
    assert "more events" not in out


@pytest.mark.usefixtures("fleet")
def test_missing_events_are_counted(runfold: Runfold) -> None:
    assert re.search(r"record +missing 2 of 4: 2-3 *$", runfold("run", "old").out, re.MULTILINE)
    assert "!" in next(line for line in runfold("runs").out.splitlines() if "old" in line)


def test_what_became_of_missing_events_is_told(runfold: Runfold, lake: LakeOfEvents) -> None:
    def numbered(number: int) -> Event:
        return event("r", "custom", number, event_id=f"{MINTED}-{number}")

    lake.put(*map(numbered, (1, 2, 4, 9, 12)))
    lake.put_records([(b"r", encoded(numbered(3))[:80])])
    lake.put_records([(b"r", encoded(numbered(10))[:80]), (b"r", b"no event")])
    declared = {"producer": MINTED, "ranges": [[5, 8]], "events": 4, "reason": "journal_full"}
    lake.put(event("r", "custom", name="events.dropped", attributes=json.dumps(declared)))
    known = r"\(2 dead letters, 4 declared dropped, 1 may be dead letters without an id\)"
    assert re.search(rf"missing 7 of 13 {known}: 3, 5-8, 10-11 *$", runfold("run", "r").out, re.M)
    [told] = runfold("run", "r", "--format", "json").json
    assert told["record"]["missing"] == 7
    assert told["record"]["holes"][0] == {"producer": MINTED, "first": 3, "last": 3}


def test_missing_events_of_several_producers_are_told_apart(
    runfold: Runfold, lake: LakeOfEvents
) -> None:
    other = MINTED.replace(".1", ".2")
    lake.put(
        event("r", "custom", event_id=f"{MINTED}-2"), event("r", "custom", event_id=f"{other}-3")
    )
    assert f"missing 3 of 5: 1 of {MINTED}; 1-2 of {other}" in runfold("run", "r").out


@pytest.mark.usefixtures("fleet")
def test_what_an_agent_said_is_no_markup(runfold: Runfold) -> None:
    assert "Boom [x]: it :bug: broke" in runfold("run", "old").out


@pytest.mark.usefixtures("fleet")
def test_a_run_comes_as_json_with_its_events_and_sub_runs(runfold: Runfold) -> None:
    shown = runfold("run", "run-a", "-f", "json", "-n", "1").json[0]
    kinds = [each["event_type"] for each in shown["timeline"]]
    assert kinds == ["run.started", "tool.started", "llm.called"]
    assert [each["run_id"] for each in shown["sub_runs"]] == ["run-a-1", "run-a-1-x"]
    assert shown["tree_cost_usd"] == 0.75


def test_runs_that_are_each_others_parents_can_be_shown(
    runfold: Runfold, lake: LakeOfEvents
) -> None:
    lake.put(
        event("a", "run.started", parent_run_id="b"), event("b", "run.started", parent_run_id="a")
    )
    out = runfold("run", "a").out
    assert out.count("── b") == 1
    assert "── a" not in out


def test_events_of_a_run_over_many_days_are_all_shown(runfold: Runfold, lake: LakeOfEvents) -> None:
    for day in range(5):
        lake.put(
            event("r", "custom", day, name=f"day {day}"),
            recorded_at_us=NOON_US + day * 24 * 3_600_000_000,
        )
    out = runfold("run", "r").out
    assert all(f"day {day}" in out for day in range(5))


def test_a_damaged_file_is_named_by_every_command(runfold: Runfold, fleet: LakeOfEvents) -> None:
    path = next(fleet.root.glob("a-topic/states/p*.parquet"))
    path.write_bytes(b"")
    for command in (
        ["query", "select count(*) from runs where events > 0"],
        ["runs"],
        ["run", "x"],
    ):
        answer = runfold(*command)
        assert answer.code == 2
        assert path.name in answer.err


def test_a_lake_of_which_files_of_no_rows_are_gone_says_so(
    runfold: Runfold, tmp_path: Path
) -> None:
    LocalLake(tmp_path / "lake")
    next((tmp_path / "lake" / "_schema").rglob("events/**/*.parquet")).unlink()
    answer = runfold("query", "select 1")
    assert answer.code == 2
    assert "No files found" in answer.err
