"""What the views over a lake show."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema
from runfold.schemas.offsets import LogPartition
from runfold.sinks.lake import LocalLake
from runfold.sinks.query import open_lake
from runfold.sinks.views import VIEW_NAMES
from tests.lakes_of_events import NOON_US, SECOND_US, LakeOfEvents, event, now_us

MINTED = "rf00000000000000000001"


@pytest.fixture
def lake(tmp_path: Path) -> LakeOfEvents:
    """Give an empty lake."""
    return LakeOfEvents(tmp_path / "lake")


def ask(lake: LakeOfEvents, sql: str) -> list[tuple[Any, ...]]:
    with open_lake(lake.root) as queries:
        return [tuple(row.values()) for row in queries.rows(sql)]


def test_the_views_of_an_empty_lake_have_all_columns_and_no_rows(lake: LakeOfEvents) -> None:
    with open_lake(lake.root) as queries:
        found = {name: queries.rows_and_columns(f"from {name}") for name in VIEW_NAMES}
    assert all(rows == [] for rows, _ in found.values())
    log_only = {"dead_letter_reason", "dead_letter_message"}
    assert set(found["events"][1]) == {
        *(name for name in lake_event_schema().names if name not in log_only),
        *("topic_id", "date", "hour"),
    }
    inner = {"stamps", "seen", "seen_hashes", "cost_nano_usd"}
    assert set(lake_state_schema().names) - inner <= set(found["runs"][1])
    assert {"tree_cost_usd", "cost_usd", "children", "missing_events"} <= set(found["runs"][1])
    assert found["dead_letters"][1] == [
        *("topic_id", "partition", "offset", "recorded_at", "run_id", "event_id"),
        *("reason", "message"),
    ]


def test_columns_have_the_types_of_the_files(lake: LakeOfEvents) -> None:
    lake.put(event("r", "run.started"))
    with open_lake(lake.root) as queries:
        for view, schema in (
            ("lake_rows", lake_event_schema()),
            ("lake_states", lake_state_schema()),
        ):
            arrow = queries.ask(f"from {view}").to_arrow_table().schema
            for field in schema:
                got = pl.DataFrame(arrow.empty_table()).schema[field.name]
                assert got == pl.DataFrame(schema.empty_table()).schema[field.name], field.name


def test_a_run_is_shown_as_its_newest_state(lake: LakeOfEvents) -> None:
    lake.put(event("r", "run.started", agent_name="a"), recorded_at_us=now_us())
    lake.put(event("other", "run.started"), recorded_at_us=now_us())
    lake.put(event("r", "run.ended", 3, status="success"), recorded_at_us=now_us())
    assert ask(lake, "select run_id, status, events, duration_ms from runs order by 1") == [
        ("other", "running", 1, 0.0),
        ("r", "success", 2, 3000.0),
    ]


def test_the_later_offset_is_newer_also_where_the_clock_of_the_log_went_back(
    lake: LakeOfEvents,
) -> None:
    lake.put(event("r", "run.started"))
    lake.put(event("r", "run.ended", 3), recorded_at_us=NOON_US - 60 * SECOND_US)
    assert ask(lake, "select status, events from runs") == [("success", 2)]


def test_of_two_logs_that_hold_a_run_the_one_heard_of_last_is_shown(lake: LakeOfEvents) -> None:
    for _ in range(3):
        lake.put(event("r", "run.started", event_id=f"{_}"))
    again = LakeOfEvents(lake.root, LogPartition("Another-topic", 0))
    again.put(event("r", "run.ended"), recorded_at_us=NOON_US + SECOND_US)
    assert ask(lake, "select topic_id, status, events from runs") == [
        ("Another-topic", "success", 1)
    ]


def test_the_cost_of_a_tree_holds_all_that_is_below_and_children_are_direct_ones(
    lake: LakeOfEvents,
) -> None:
    lake.put(
        event("top", "llm.called", cost_usd=1.0),
        event("child-1", "llm.called", cost_usd=0.5, parent_run_id="top"),
        event("child-2", "llm.called", cost_usd=0.25, parent_run_id="top"),
        event("grandchild", "llm.called", cost_usd=0.125, parent_run_id="child-1"),
        event("of-nobody-known", "llm.called", cost_usd=8.0, parent_run_id="never seen"),
    )
    shown = ask(lake, "select run_id, cost_usd, tree_cost_usd, children from runs order by 1")
    assert shown == [
        ("child-1", 0.5, 0.625, 1),
        ("child-2", 0.25, 0.25, 0),
        ("grandchild", 0.125, 0.125, 0),
        ("of-nobody-known", 8.0, 8.0, 0),
        ("top", 1.0, 1.875, 2),
    ]


def test_runs_that_are_each_others_parents_end_in_a_cost(lake: LakeOfEvents) -> None:
    lake.put(
        event("a", "llm.called", cost_usd=1.0, parent_run_id="b"),
        event("b", "llm.called", cost_usd=2.0, parent_run_id="a"),
        event("self", "llm.called", cost_usd=4.0, parent_run_id="self"),
    )
    assert ask(lake, "select run_id, tree_cost_usd, children from runs order by 1") == [
        ("a", 3.0, 1),
        ("b", 3.0, 1),
        ("self", 4.0, 0),
    ]


@pytest.mark.parametrize(
    ("sequences", "missing"),
    [([1, 2, 3], 0), ([2, 3], 1), ([1, 4, 9], 6), ([5], 4), ([3, 1, 2], 0)],
)
def test_missing_events_are_the_holes_below_the_last_sequence(
    lake: LakeOfEvents, sequences: list[int], missing: int
) -> None:
    lake.put(
        *(event("r", "custom", event_id=f"{MINTED}.1-{each}") for each in sequences),
        *(event("r", "custom", event_id=f"{MINTED}.2-{each}") for each in (1, 3)),
        event("r", "custom", event_id="from elsewhere"),
    )
    assert ask(lake, "select missing_events from runs") == [(missing + 1,)]


def test_a_repeated_event_is_shown_once(lake: LakeOfEvents) -> None:
    twice = event("r", "custom")
    lake.put(twice, twice).put(twice)
    assert ask(lake, "select count(*) from events") == [(1,)]


def test_tool_calls_are_paired_by_their_span(lake: LakeOfEvents) -> None:
    lake.put(
        event("r", "tool.started", 0, tool_name="bash", span_id="1"),
        event("r", "tool.started", 1, tool_name="bash", span_id="2"),
        event("r", "tool.ended", 2, tool_name="bash", span_id="2", status="failure",
              error_type="E"),
        event("r", "tool.ended", 5, tool_name="bash", span_id="1"),
        event("another", "tool.started", 7, tool_name="bash", span_id="1"),
    )  # fmt: skip
    found = ask(lake, "select run_id, span_id, status, duration_ms, error_type from tools order by "
                "run_id desc, span_id")  # fmt: skip
    assert found == [
        ("r", "1", "success", 5000.0, None),
        ("r", "2", "failure", 1000.0, "E"),
        ("another", "1", "running", None, None),
    ]


def test_tool_calls_without_a_span_are_paired_in_their_order(lake: LakeOfEvents) -> None:
    lake.put(
        event("r", "tool.started", 0, tool_name="bash"),
        event("r", "tool.started", 0.5, tool_name="read"),
        event("r", "tool.ended", 1, tool_name="bash"),
        event("r", "tool.started", 2, tool_name="bash"),
        event("r", "tool.ended", 4, tool_name="read"),
        event("r", "tool.ended", 6, tool_name="bash", duration_ms=3900.0),
    )
    assert ask(lake, "select tool_name, status, duration_ms from tools order by started_at") == [
        ("bash", "success", 1000.0),
        ("read", "success", 3500.0),
        ("bash", "success", 3900.0),
    ]


def test_calls_that_share_a_span_are_as_many_as_were_started(lake: LakeOfEvents) -> None:
    lake.put(
        *(event("r", "tool.started", at, tool_name="bash", span_id="1") for at in (0, 2)),
        *(event("r", "tool.ended", at, tool_name="bash", span_id="1") for at in (1, 5)),
    )
    assert ask(lake, "select duration_ms from tools order by started_at") == [(1000.0,), (3000.0,)]


def test_a_tool_that_never_ended_is_running_and_one_that_never_started_is_shown_too(
    lake: LakeOfEvents,
) -> None:
    lake.put(
        event("r", "tool.started", 0, tool_name="bash", attributes='{"command":"sleep"}'),
        event("r", "tool.ended", 9, tool_name="read"),
        event("r", "tool.started", 10),
    )
    columns = "tool_name, status, started_at, ended_at, duration_ms, attributes"
    at = [datetime(2025, 11, 13, 12, 0, second, tzinfo=UTC) for second in (0, 9, 10)]
    assert ask(lake, f"select {columns} from tools order by started_at") == [
        ("bash", "running", at[0], None, None, '{"command":"sleep"}'),
        ("read", "success", at[1], at[1], None, None),
        (None, "running", at[2], None, None, None),
    ]


def test_llm_calls_are_all_events_that_used_a_model(lake: LakeOfEvents) -> None:
    lake.put(
        event("r", "llm.called", 0, model="m", input_tokens=10, output_tokens=2, cost_usd=0.5),
        event("r", "llm.called", 1, error_type="Overloaded"),
        event("r", "custom", 2, input_tokens=5),
        event("r", "tool.ended", 3),
    )
    columns = "model, input_tokens, output_tokens, cost_usd, error_type"
    assert ask(lake, f"select {columns} from llm_calls order by occurred_at") == [
        ("m", 10, 2, 0.5, None),
        (None, None, None, None, "Overloaded"),
        (None, 5, None, None, None),
    ]


def test_dead_letters_are_no_events(lake: LakeOfEvents) -> None:
    lake.put(event("r", "run.started"))
    lake.put_records([(b"key", b"junk")])
    assert ask(lake, 'select "offset", event_type from events') == [(0, "run.started")]
    letters = ask(lake, 'select topic_id, partition, "offset", reason from dead_letters')
    assert letters == [("a-topic", 0, 1, "not_avro")]


def test_a_column_that_an_older_file_has_not_got_is_null(lake: LakeOfEvents) -> None:
    lake.put(event("old", "run.started", project="p", agent_name="a"))
    for path in lake.root.glob("a-topic/**/p*.parquet"):
        pl.read_parquet(path, hive_partitioning=False).drop("project").write_parquet(path)
    lake.put(event("new", "run.started", 1, project="p"))
    assert ask(lake, "select run_id, project, agent_name from runs order by 1") == [
        ("new", "p", None),
        ("old", None, "a"),
    ]
    assert ask(lake, "select run_id, project from events order by 1") == [
        ("new", "p"),
        ("old", None),
    ]


def test_a_day_is_asked_for_without_reading_the_files_of_others(lake: LakeOfEvents) -> None:
    day_us = 24 * 3600 * SECOND_US
    for day in range(3):
        lake.put(event("r", "custom", day), recorded_at_us=NOON_US + day * day_us)
    where = "where date = date '2025-11-14' and hour = 12"
    assert ask(lake, f'select "offset" from events {where}') == [(1,)]
    for path in lake.root.glob("a-topic/events/date=2025-11-13/*/*.parquet"):
        path.write_bytes(b"")
    assert ask(lake, f'select "offset" from events {where}') == [(1,)]


@pytest.mark.parametrize("name", ["a [b] *?", "it's", "{x}", "a%20b", "ü"])
def test_a_lake_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    lake = LakeOfEvents(tmp_path / name).put(event("r", "run.started"))
    assert ask(lake, "select run_id from runs") == [("r",)]
    assert ask(lake, "select run_id from events") == [("r",)]


_PLAIN_DUCKDB = """
import json, sys, duckdb
connection = duckdb.connect()
connection.execute(open(sys.argv[1], encoding="utf-8").read())
rows = connection.execute("select run_id, status, tree_cost_usd from runs order by 1").fetchall()
events = connection.execute("select count(*), count(distinct event_id) from events").fetchone()
ours = [name for name in sys.modules if name.startswith("runfold")]
print(json.dumps([rows, events, ours]))
"""


def test_plain_duckdb_reads_the_views_from_their_file(lake: LakeOfEvents) -> None:
    lake.put(
        event("top", "run.started"),
        event("below", "run.ended", 2, parent_run_id="top", cost_usd=1.5, status="failure"),
        recorded_at_us=now_us(),
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PLAIN_DUCKDB, str(lake.root / "views.sql")],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [["below", "failure", 1.5], ["top", "running", 1.5]]
    assert json.loads(done.stdout) == [rows, [2, 2], []]


def test_opening_a_lake_again_renews_its_views(lake: LakeOfEvents) -> None:
    (lake.root / "views.sql").write_text("of an older version")
    LocalLake(lake.root)
    assert "create or replace view runs" in (lake.root / "views.sql").read_text("utf-8")
