"""The calls of the Local Telemetry client: what they return and write, and what is logged."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.producers import Client
from runfold.producers.compat.local_telemetry import RunRecord, TelemetryClient, TelemetryConfig
from runfold.producers.compat.local_telemetry.models import RUN_FIELDS
from tests.memory_log import MemoryLog
from tests.web_server import web_server

NOBODY = "http://127.0.0.1:1"
GENERATED = re.compile(r"\d{8}T\d{6}Z-crawler-[0-9a-f]{8}")
NDJSON_FIELDS = [
    "run_id", "agent_name", "job_type", "trigger_type", "start_time", "event_id",
    "schema_version", "agent_owner", "end_time", "status", "items_discovered", "items_succeeded",
    "items_failed", "items_skipped", "duration_ms", "input_summary", "output_summary",
    "source_ref", "target_ref", "error_summary", "error_details", "metrics_json", "context_json",
    "insight_id", "product", "platform", "product_family", "subdomain", "website",
    "website_section", "item_name", "git_repo", "git_branch", "git_run_tag", "git_commit_hash",
    "git_commit_source", "git_commit_author", "git_commit_timestamp", "host", "environment",
    "api_posted", "api_posted_at", "api_retry_count", "parent_run_id", "created_at", "updated_at",
    "record_type",
]  # fmt: skip


class Recording:
    """A client over a log in memory, and what reached the log."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self._log = MemoryLog()
        self.native = Client(
            journal_dir=root / "journal", publisher=self._log.open, heartbeat_seconds=None
        )
        config = {
            "metrics_dir": root, "database_path": root / "db" / "x.sqlite",
            "ndjson_dir": root / "raw", "api_url": NOBODY, "google_sheets_api_url": None,
            "google_sheets_api_enabled": False, "api_token": None, "api_enabled": False,
            "retry_backoff_factor": 1.0, "agent_owner": "ann", "test_mode": None,
        }  # fmt: skip
        self.config = TelemetryConfig(**{**config, **changes})
        self.client = TelemetryClient(self.config, recorder=self.native)

    def events(self) -> list[dict[str, Any]]:
        """Return all events of the log, with attributes as objects."""
        assert self.native.flush(20)
        return [
            {**event, "attributes": json.loads(event.get("attributes", "{}"))}
            for event in self._log.events
        ]

    def types(self) -> list[str]:
        return [event["event_type"] for event in self.events()]

    def lines(self) -> list[dict[str, Any]]:
        [path] = (self.config.ndjson_dir).glob("events_*.ndjson")
        assert re.fullmatch(r"events_\d{8}\.ndjson", path.name)
        return [json.loads(line) for line in path.read_text("ascii").splitlines()]


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.chdir(tmp_path)
    return Recording(tmp_path)


def test_a_run_is_in_the_log_with_all_that_the_caller_said(recording: Recording) -> None:
    run_id = recording.client.start_run(
        "crawler", "crawl", "scheduler", product="words", environment="prod", parent_run_id="outer"
    )
    recording.client.log_event(run_id, "checkpoint", {"step": 1, "name": "fetch"})
    recording.client.end_run(
        run_id, "completed", items_discovered=7, metrics_json='{"pages": 7, "x": {"y": 1}}',
        error_summary="two pages were empty", output_summary="done", unknown="ignored",
    )  # fmt: skip
    started, checkpoint, pages, ended = recording.events()
    assert GENERATED.fullmatch(run_id)
    assert {each["run_id"] for each in (started, checkpoint, pages, ended)} == {run_id}
    assert started["event_type"] == "run.started"
    assert started["agent_name"] == "crawler"
    assert (started["job_type"], started["trigger_type"]) == ("crawl", "scheduler")
    assert (started["agent_owner"], started["environment"]) == ("ann", "prod")
    assert started["parent_run_id"] == "outer"
    assert started["attributes"]["product"] == "words"
    assert (checkpoint["event_type"], checkpoint["name"]) == ("custom", "checkpoint")
    assert checkpoint["attributes"] == {"step": 1, "name": "fetch"}
    assert (pages["event_type"], pages["name"], pages["value"]) == ("metric.recorded", "pages", 7.0)
    assert (ended["event_type"], ended["status"]) == ("run.ended", "success")
    assert (ended["items_discovered"], ended["items_failed"]) == (7, 0)
    assert ended["error_message"] == "two pages were empty"
    assert ended["attributes"]["metrics_json"] == {"pages": 7, "x": {"y": 1}}
    assert ended["attributes"]["output_summary"] == "done"


def test_the_ndjson_lines_have_the_fields_in_their_order(recording: Recording) -> None:
    run_id = recording.client.start_run("crawler", "crawl")
    recording.client.log_event(run_id, "checkpoint", {"müde": 1})
    recording.client.log_event("of-nobody", "empty", {})
    recording.client.end_run(run_id, items_succeeded=3)
    start, event, empty, end = recording.lines()
    assert [*start] == [*end] == NDJSON_FIELDS
    assert start["event_id"] == end["event_id"]
    assert (start["status"], end["status"]) == ("running", "success")
    assert (start["schema_version"], start["api_posted"], start["record_type"]) == (7, 0, "run")
    assert start["created_at"] == start["updated_at"] == start["start_time"]
    assert end["created_at"] is end["updated_at"] is None
    assert end["items_succeeded"] == 3
    elapsed = datetime.fromisoformat(end["end_time"]) - datetime.fromisoformat(start["start_time"])
    assert end["duration_ms"] == int(elapsed.total_seconds() * 1000)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", start["start_time"])
    assert [*event] == ["run_id", "event_type", "timestamp", "payload_json", "id", "record_type"]
    assert json.loads(event["payload_json"]) == {"müde": 1}
    assert (event["id"], event["record_type"]) == (None, "event")
    assert (empty["run_id"], empty["payload_json"]) == ("of-nobody", None)


def test_no_file_is_written_unless_it_is_asked_for(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    recording = Recording(tmp_path / "kept", write_ndjson=False)
    with recording.client.track_run("crawler", "crawl"):
        pass
    assert recording.types() == ["run.started", "run.ended"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["journal"]


def test_a_tracked_run_ends_as_its_block_does(recording: Recording) -> None:
    with recording.client.track_run("crawler", "crawl") as ctx:
        ctx.set_metrics(items_discovered=2)
    with pytest.raises(ValueError, match="nope"), recording.client.track_run("crawler", "crawl"):
        raise ValueError("nope")
    with pytest.raises(KeyboardInterrupt), recording.client.track_run("crawler", "crawl"):
        raise KeyboardInterrupt
    ends = [each for each in recording.events() if each["event_type"] == "run.ended"]
    assert [each["status"] for each in ends] == ["success", "failure", "cancelled"]
    assert ends[0]["items_discovered"] == 2
    assert ends[1]["error_message"] == "ValueError: nope"
    assert recording.client._active_runs == {}


def test_metrics_that_are_set_survive_a_run_that_never_ends(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = recording.client.start_run("crawler", "crawl")
    record = recording.client._active_runs[run_id]
    recording.client.update_run(record, {"website": "example.org", "items_failed": 1, "nope": 1})
    updated = recording.events()[-1]
    assert updated["event_type"] == "run.updated"
    assert (updated["items_failed"], updated["attributes"]) == (1, {"website": "example.org"})
    assert (record.website, record.items_failed) == ("example.org", 1)
    assert "ignoring unknown kwarg: nope" in caplog.text


def test_a_run_in_a_tracked_block_is_its_child(recording: Recording) -> None:
    with recording.client.track_run("crawler", "crawl") as outer:
        with recording.client.track_run("crawler", "page"):
            pass
    recording.client.start_run("crawler", "crawl")
    starts = [each for each in recording.events() if each["event_type"] == "run.started"]
    parents = [each.get("parent_run_id") for each in starts]
    assert parents == [None, outer.run_id, None]


def test_runs_join_the_trace_of_the_process_that_started_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    monkeypatch.setenv("TRACEPARENT", f"00-{trace_id}-00f067aa0ba902b7-01")
    recording = Recording(tmp_path)
    with recording.client.track_run("crawler", "crawl"):
        with recording.client.track_run("crawler", "page"):
            pass
    starts = [each for each in recording.events() if each["event_type"] == "run.started"]
    assert [each["trace_id"] for each in starts] == [trace_id] * 2


async def test_concurrent_tasks_do_not_mistake_each_other_for_their_parent(
    recording: Recording,
) -> None:
    async def crawl() -> None:
        with recording.client.track_run("crawler", "crawl"):
            await asyncio.sleep(0)

    await asyncio.gather(crawl(), crawl())
    starts = [each for each in recording.events() if each["event_type"] == "run.started"]
    assert [each.get("parent_run_id") for each in starts] == [None, None]


@pytest.mark.parametrize(
    ("custom", "reason"),
    [("  ", "empty"), ("x" * 256, "too_long"), ("a/b", "invalid_chars"), ("a\0", "invalid_chars")],
)
def test_a_custom_run_id_that_cannot_be_used_is_replaced_and_counted(
    recording: Recording, custom: str, reason: str
) -> None:
    assert GENERATED.fullmatch(recording.client.start_run("crawler", "crawl", run_id=custom))
    counts = recording.client.get_run_id_metrics()["run_id_metrics"]
    assert counts["rejected"][reason] == counts["rejected"]["total"] == 1
    assert (counts["generated"], counts["custom_accepted"]) == (1, 0)


def test_custom_run_ids_are_kept_and_those_of_active_runs_made_others(
    recording: Recording,
) -> None:
    start = recording.client.start_run
    assert start("crawler", "crawl", run_id="nightly") == "nightly"
    doubled = start("crawler", "crawl", run_id="nightly")
    assert re.fullmatch(r"nightly-duplicate-[0-9a-f]{8}", doubled)
    assert GENERATED.fullmatch(start("crawler", "crawl", run_id=""))
    report = recording.client.get_run_id_metrics()
    assert report["run_id_metrics"] == {
        "custom_accepted": 2,
        "generated": 1,
        "rejected": {"empty": 0, "too_long": 0, "invalid_chars": 0, "total": 0},
        "duplicates_detected": 1,
        "total_runs": 3,
        "custom_percentage": 66.67,
    }
    assert datetime.fromisoformat(report["timestamp"])


def test_a_run_id_that_is_used_again_does_not_continue_the_run_before(
    recording: Recording,
) -> None:
    for _ in range(2):
        recording.client.start_run("crawler", "crawl", run_id="nightly")
        recording.client.log_event("nightly", "step")
        recording.client.end_run("nightly")
    runs = [each["run_id"] for each in recording.events()]
    assert runs[:3] == ["nightly"] * 3
    assert len(set(runs[3:])) == 1
    assert re.fullmatch(r"nightly~[0-9a-f]{8}", runs[3])


def test_a_call_that_fails_gives_an_error_id_and_says_why(
    recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    client = recording.client
    assert client.start_run("crawler", "crawl", run_id=5).startswith("error-5")
    failed = client.start_run("crawler", "crawl", no_such_field=1)
    assert re.fullmatch(f"error-{GENERATED.pattern}", failed)
    assert client.start_run("crawler", "crawl", run_id="mine", nope=1) == "error-mine"
    client.end_run("nobody")
    with client.track_run("crawler", "crawl", nope=1) as ctx:
        ctx.log_event("still works")
        ctx.set_metrics(items_failed=1)
    said = capsys.readouterr().out
    assert said.count("[ERROR] Telemetry start_run failed: ") == 4
    assert "[WARN] Run ID not found: nobody" in said
    assert "no_such_field" in said
    assert client._active_runs == {}


def test_an_unknown_status_is_a_failure(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    for status in ("weird", None, " Failed ", "CANCELED", "partial"):
        recording.client.end_run(recording.client.start_run("crawler", "crawl"), status)  # type: ignore[arg-type]
    ends = [each["status"] for each in recording.events() if "status" in each]
    assert ends == ["failure", "failure", "failure", "cancelled", "partial"]
    assert "'weird' is taken as failure" in caplog.text


def test_a_commit_can_be_associated_while_a_run_goes_on_and_after_its_end(
    recording: Recording,
) -> None:
    run_id = recording.client.start_run("crawler", "crawl")
    assert recording.client.associate_commit(run_id, "abcdef1", "llm", "Ann")[0]
    recording.client.end_run(run_id)
    done = recording.client.associate_commit(run_id, "f" * 40, "ci", None, "2026-01-02T03:04:05Z")
    assert done == (True, "[OK] Commit associated successfully")
    commits = [each for each in recording.events() if each["event_type"] == "commit.associated"]
    assert [each["git_commit_hash"] for each in commits] == ["abcdef1", "f" * 40]
    assert commits[0]["git_commit_author"] == "Ann"
    assert commits[1]["git_commit_timestamp"] == "2026-01-02T03:04:05Z"
    assert recording.lines()[-1]["git_commit_hash"] == "abcdef1"


@pytest.mark.parametrize(
    ("commit", "source", "message"),
    [
        ("abcdef1", "robot", "[FAIL] Invalid commit_source"),
        (
            "zzzzzzz",
            "ci",
            "[FAIL] Invalid commit_hash format. Expected 7-40 hex characters, got: z",
        ),
        ("abc", "ci", "[FAIL] Invalid commit_hash format. Expected 7-40 hex characters, got: abc"),
        (None, "ci", "[FAIL] Invalid commit_hash format. Expected 7-40 hex characters, got: None"),
    ],
)
def test_what_is_no_commit_is_refused(
    recording: Recording, commit: str, source: str, message: str
) -> None:
    run_id = recording.client.start_run("crawler", "crawl")
    done, said = recording.client.associate_commit(run_id, commit, source)
    assert not done
    assert said.startswith(message)
    assert recording.types() == ["run.started"]


def test_a_commit_of_a_run_that_nobody_started_is_refused(recording: Recording) -> None:
    found = recording.client.associate_commit("nobody", "abcdef1", "ci")
    assert found == (False, "[ERROR] Run ID not found: nobody")


def test_stats_are_those_of_the_server_beside_the_run_id_metrics(tmp_path: Path) -> None:
    with web_server((200, {"total_runs": 4, "agents": {"a": 4}, "recent_24h": 1})) as server:
        stats = Recording(tmp_path, api_url=server.url).client.get_stats()
    assert (stats["total_runs"], stats["agents"], stats["recent_24h"]) == (4, {"a": 4}, 1)
    assert "run_id_metrics" in stats
    alone = Recording(tmp_path).client.get_stats()
    assert set(alone) == {"run_id_metrics", "timestamp"}


def test_an_ended_run_is_posted_to_the_sheet_in_the_background(tmp_path: Path) -> None:
    with web_server((200, {})) as server:
        recording = Recording(
            tmp_path, google_sheets_api_enabled=True, google_sheets_api_url=server.url,
            api_token="s3cret",
        )  # fmt: skip
        with recording.client.track_run("crawler", "crawl", product="words"):
            assert server.asked == []
        assert recording.client.flush(20)
    [asked] = server.asked
    assert asked.headers["Authorization"] == "Bearer s3cret"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.content["status"] == "success"
    assert asked.content["product"] == "words"
    assert "output_summary" not in asked.content
    assert None not in asked.content.values()
    assert "s3cret" not in str(recording.config)


def test_a_sheet_that_is_down_does_not_hold_up_an_end(tmp_path: Path) -> None:
    recording = Recording(tmp_path, google_sheets_api_enabled=True, google_sheets_api_url=NOBODY)
    assert recording.client.api_client is not None
    hold = threading.Event()

    def post(payload: Any) -> tuple[bool, str]:
        assert hold.wait(20)
        return False, f"[FAIL] {payload.run_id}"

    recording.client.api_client.post_run_sync = post  # type: ignore[method-assign]
    with recording.client.track_run("crawler", "crawl"):
        pass
    assert not recording.client.flush(0.01)
    assert recording.types() == ["run.started", "run.ended"]
    hold.set()
    assert recording.client.flush(20)


def test_a_sheet_without_an_address_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Recording(tmp_path, google_sheets_api_enabled=True)
    assert recording.client.api_client is None
    assert "GOOGLE_SHEETS_API_URL not set" in caplog.text
    assert "[WARN] Telemetry configuration issues:\n  - GOOGLE_SHEETS" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    recording = Recording(tmp_path, ndjson_dir=tmp_path / "file" / "raw")
    with recording.client.track_run("crawler", "crawl") as ctx:
        ctx.log_event("step")
    assert recording.types() == ["run.started", "custom", "run.ended"]
    assert "[FAIL] NDJSON write error" in caplog.text


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __bool__ = __eq__ = __hash__ = __len__ = __deepcopy__ = __str__  # type: ignore[assignment]


FREE_NAMES = sorted({*RUN_FIELDS} - {"run_id", "agent_name", "job_type", "trigger_type", "status"})
_ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.binary(max_size=5), st.builds(Hostile), st.just("\ud800"),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.floats(), max_size=2), st.just(10**400),
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_ANYTHING, min_size=10, max_size=10), st.sampled_from(FREE_NAMES))
def test_no_argument_makes_a_call_raise(
    recording: Recording, any_value: list[Any], name: str
) -> None:
    client, (a, b, c, d, e, f, g, h, i, j) = recording.client, any_value
    run_id = client.start_run(a, b, c, **{name: d})
    client.log_event(run_id, e, f)
    client.log_event(g, h, i)
    with client.track_run("crawler", "crawl") as ctx:
        ctx.set_metrics(**{name: j, "metrics_json": d})
    client.associate_commit(a, b, c, d, e)
    client.associate_commit(run_id, "abcdef1", "ci", d, e)
    client.end_run(run_id, f, **{name: g})
    client.end_run(h, i)


def test_the_settings_of_the_environment_are_those_of_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*os.environ]:
        if name.startswith(("TELEMETRY_", "METRICS_", "GOOGLE_", "AGENT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TELEMETRY_DB_PATH", str(tmp_path / "base" / "db" / "t.sqlite"))
    monkeypatch.setenv("METRICS_API_URL", "http://second")
    monkeypatch.setenv("GOOGLE_SHEETS_API_ENABLED", "Yes")
    monkeypatch.setenv("TELEMETRY_RETRY_BACKOFF_FACTOR", "not a number")
    monkeypatch.setenv("AGENT_OWNER", "ann")
    config = TelemetryConfig.from_env()
    assert (config.metrics_dir, config.ndjson_dir) == (tmp_path / "base", tmp_path / "base" / "raw")
    assert (config.api_url, config.agent_owner) == ("http://second", "ann")
    assert (config.google_sheets_api_enabled, config.retry_backoff_factor) == (True, 1.0)
    assert not config.write_ndjson
    valid, errors = config.validate()
    assert not valid
    assert len(errors) == 4
    assert len(config.validate(strict=False)[1]) == 1
    monkeypatch.delenv("TELEMETRY_DB_PATH")
    monkeypatch.setenv("AGENT_METRICS_DIR", "/legacy")
    monkeypatch.setenv("TELEMETRY_API_URL", "http://first")
    monkeypatch.setenv("TELEMETRY_NDJSON_DIR", str(tmp_path))
    config = TelemetryConfig.from_env()
    assert config.database_path == Path("/legacy/db/telemetry.sqlite")
    assert (config.api_url, config.ndjson_dir) == ("http://first", tmp_path)
    assert config.write_ndjson


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_repository_and_branch_are_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _git(tmp_path, "init", "-q", "-b", "feature/x")
    _git(tmp_path, "remote", "add", "origin", "https://me:t0ken@github.com/team/crawler.git")
    monkeypatch.chdir(tmp_path)
    recording = Recording(tmp_path)
    recording.client.start_run("crawler", "crawl", git_branch="mine")
    [started] = recording.events()
    assert (started["git_repo"], started["git_branch"]) == ("crawler", "mine")
    assert started["attributes"]["git_run_tag"] == "crawler/feature/x"
    assert started["attributes"]["git_url"] == "https://github.com/team/crawler"
    assert "t0ken" not in json.dumps(started)


def test_a_run_ends_whatever_its_status_and_metrics_are(recording: Recording) -> None:
    class Metrics(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no")

    run_id = recording.client.start_run("crawler", "crawl")
    recording.client.end_run(run_id, Hostile(), metrics_json=Metrics())  # type: ignore[arg-type]
    assert recording.events()[-1]["status"] == "failure"


def test_threads_share_a_client(recording: Recording) -> None:
    def work() -> None:
        for _ in range(5):
            with recording.client.track_run("crawler", "crawl") as ctx:
                ctx.log_event("step")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = recording.events()
    assert len({each["run_id"] for each in events}) == 40
    assert len(events) == 120
    assert len(recording.lines()) == 120


def test_all_clients_of_a_process_share_one_journal(tmp_path: Path) -> None:
    program = (
        "from runfold.producers.compat.local_telemetry import TelemetryClient\n"
        "for _ in range(3):\n"
        "    with TelemetryClient().track_run('a', 'b'): pass\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "RUNFOLD_JOURNAL": str(tmp_path), "RUNFOLD_BROKER": "127.0.0.1:1"},
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    [segment] = tmp_path.glob("*/*1.ndjson")
    assert segment.read_text().count("run.ended") == 3


def test_a_row_is_posted_also_where_the_agent_ends_at_once(tmp_path: Path) -> None:
    program = (
        "from runfold.producers.compat.local_telemetry import TelemetryClient\n"
        "with TelemetryClient().track_run('a', 'b'): pass\n"
    )
    with web_server((503, {}), (200, {})) as server:
        settings = {
            "RUNFOLD_JOURNAL": str(tmp_path), "RUNFOLD_BROKER": "127.0.0.1:1",
            "GOOGLE_SHEETS_API_ENABLED": "true", "GOOGLE_SHEETS_API_URL": server.url,
        }  # fmt: skip
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **settings}, cwd=tmp_path, check=True, timeout=60,
        )  # fmt: skip
    assert [each.content["status"] for each in server.asked] == ["success"] * 2


def test_a_user_who_does_not_want_to_be_tracked_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    recording = Recording(tmp_path, write_ndjson=False)
    with recording.client.track_run("crawler", "crawl") as ctx:
        ctx.log_event("step")
    assert GENERATED.fullmatch(ctx.run_id)
    assert recording.events() == []


@pytest.mark.parametrize("make", [lambda: RunRecord("r", "a", "j", "cli", "t")])
def test_a_record_goes_through_a_dictionary(make: Callable[[], RunRecord]) -> None:
    record = make()
    assert [*record.to_dict()] == NDJSON_FIELDS
    assert RunRecord.from_dict({**record.to_dict(), "unknown": 1}) == record
    assert json.loads(record.to_json()) == record.to_dict()


def test_run_id_metrics_are_logged_as_json(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        recording.client.log_run_id_metrics()
    assert '"custom_percentage": 0.0' in caplog.text
