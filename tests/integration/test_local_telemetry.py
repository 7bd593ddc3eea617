"""Agents of the Local Telemetry client, and what it has stored, through real Kafka to the lake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runfold.deploy.embedded import KafkaServer
from runfold.schemas.topic import EVENTS
from tests.integration.stack_parts import PlainDuckDB, WorkerProcess, make_topics, wait_until
from tests.local_telemetry_data import event, run, started, write_database, write_lines

# An agent as it was written for the old package: not a line of it is changed.
AGENT = """
from telemetry import TelemetryClient

client = TelemetryClient()

run_id = client.start_run("hugo-translator", "translate_file", trigger_type="cli", product="words")
client.log_event(run_id, "checkpoint", {"step": 1, "status": "ok"})
client.end_run(run_id, status="completed", items_discovered=10, items_succeeded=10,
               metrics_json='{"pages": 4}')
client.associate_commit(run_id, "4a07f7e1c2", "llm", "Ann <ann@example.org>")

with client.track_run("hugo-translator", "validate", run_id="validation-7") as ctx:
    ctx.log_event("start", {"input": "data.csv"})
    ctx.set_metrics(items_discovered=3, items_failed=1)

try:
    with client.track_run("hugo-translator", "publish"):
        raise ValueError("no such page")
except ValueError:
    pass

print(run_id)
"""
ALIAS = (
    "import sys\n"
    "from runfold.producers.compat import local_telemetry\n"
    "sys.modules[__name__] = local_telemetry\n"
)
RUNS = """
select run_id, agent_name, job_type, status, items_discovered, error_message, git_commit_hash,
       attributes, metrics, started_at, ended_at, events from runs order by run_id
"""


@pytest.fixture
async def broker(kafka_server_factory: Callable[..., KafkaServer]) -> Any:
    """Give a broker of its own: the commands publish to the one topic of a broker."""
    with kafka_server_factory() as server:
        await make_topics(server.bootstrap, EVENTS.name)
        yield server.bootstrap


@pytest.fixture
def lake(broker: str, tmp_path: Path) -> Iterator[Path]:
    """Give the lake that a worker of `broker` keeps."""
    folder = tmp_path / "lake"
    with WorkerProcess(broker, EVENTS.name, folder) as worker:
        yield folder
        assert worker.stop() == 0


def environment(home: Path, broker: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "RUNFOLD" not in name}
    return {**kept, "HOME": str(home), "RUNFOLD_BROKER": broker, "NO_COLOR": "1"}


def run_agent(home: Path, broker: str) -> str:
    """Run the agent where it finds a package `telemetry`; return the run id that it printed."""
    alias = home / "site" / "telemetry" / "__init__.py"
    alias.parent.mkdir(parents=True)
    alias.write_text(ALIAS)
    done = subprocess.run(
        [sys.executable, "-c", AGENT],
        env={
            **environment(home, broker),
            "PYTHONPATH": str(home / "site"),
            "TELEMETRY_NDJSON_DIR": str(home / "raw"),
        },
        cwd=home,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def import_from(path: Path, home: Path, broker: str, lake: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", "import", "local-telemetry", str(path),
         "--lake", str(lake), "--format", "json"],
        env=environment(home, broker),
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    counts: dict[str, Any] = json.loads(done.stdout)
    return counts


def test_the_old_client_and_what_it_has_stored_come_to_the_lake_once(
    broker: str, lake: Path, tmp_path: Path
) -> None:
    run_id = run_agent(tmp_path, broker)
    duckdb = PlainDuckDB(lake)
    wait_until(
        lambda: duckdb.rows("select 1 from runs where status = 'failure'") != [], "three runs"
    )
    check_runs_of_agent({row[2]: row for row in duckdb.rows(RUNS)}, run_id)
    custom = "select name from events where event_type = 'custom' order by all"
    assert duckdb.rows(custom) == [("checkpoint",), ("start",)]
    counts = import_from(tmp_path / "raw", tmp_path, broker, lake)
    assert (counts["recorded_by_runfold"], counts["events_published"]) == (8, 0)

    data = stored_data(tmp_path / "data")
    first = import_from(data, tmp_path, broker, lake)
    assert (first["runs"], first["malformed"]) == (5, 1)
    assert first["ended"] == {"failure": 1, "success": 4}
    table = duckdb.rows(RUNS)
    assert len(table) == 3 + 5
    for _ in range(2):
        again = import_from(data, tmp_path, broker, lake)
        assert again["events_published"] == 0
        assert again["already_known"] == first["events_published"]
        assert again["runs"] == 5
        assert duckdb.rows(RUNS) == table
    write_database(data / "new.sqlite", [run(6)])
    assert import_from(data, tmp_path, broker, lake)["events_published"] == 2
    assert len(duckdb.rows(RUNS)) == len(table) + 1


def check_runs_of_agent(found: dict[str, tuple[Any, ...]], run_id: str) -> None:
    translate, validate, publish = (
        found[each] for each in ("translate_file", "validate", "publish")
    )
    assert len(found) == 3
    assert translate[:2] == (run_id, "hugo-translator")
    assert translate[3:7] == ("success", 10, None, "4a07f7e1c2")
    assert json.loads(translate[7])["product"] == "words"
    assert validate[0] == "validation-7"
    assert validate[3:5] == ("success", 3)
    assert publish[3] == "failure"
    assert publish[5] == "ValueError: no such page"
    assert all(row[10] >= row[9] for row in found.values())


def stored_data(folder: Path) -> Path:
    """Write what the old client and its service leave behind; each run in one or more files."""
    ended = run(1, metrics_json={"pages": 7}, git_commit_hash="abcdef1", git_commit_source="ci")
    tick = event(ended["run_id"], "checkpoint", "2026-01-02T03:04:30Z", {"step": 1})
    write_lines(folder / "raw" / "events_20260102.ndjson", [started(ended), tick, "{torn", ended])
    write_lines(folder / "telemetry_20260102_030400.jsonl.ready", [run(2, status="failed")])
    write_database(
        folder / "db" / "telemetry.sqlite", [ended, started(run(2)), run(3), run(4, run_id="n")]
    )
    write_database(folder / "other.sqlite", [run(5)], library_shape=True)
    return folder
