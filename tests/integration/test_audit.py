"""`runfold audit` finds the bugs that are planted into real workers, and nothing without them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from runfold.deploy.auditing import audit_lake
from runfold.deploy.embedded import KafkaServer
from runfold.deploy.log_lag import log_bounds
from runfold.deploy.settings import load_settings
from runfold.deploy.worker_status import read_status
from runfold.producers import Client
from runfold.producers.demo import DemoRecord, generate_fleet
from runfold.schemas.event_ids import split_minted_id
from runfold.schemas.topic import EVENTS
from runfold.sinks.audit.report import Finding, Report, Scope
from runfold.sinks.lake_files import list_logs
from tests.integration.stack_parts import (
    PLAIN,
    WorkerProcess,
    make_topics,
    planted,
    publish,
    wait_until,
)
from tests.plants import hit_ids

TOPIC = "test-audit-of-planted-bugs"
NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
EVENT_RATE, FILE_RATE = 100, 3
RATES = {"drop": EVENT_RATE, "twice": EVENT_RATE, "short-range": FILE_RATE, "short-rows": FILE_RATE}
NOTHING = "nothing"


@dataclass(frozen=True)
class Audited:
    """What the audits of one log said, each of a lake that another worker made."""

    codes: dict[str, int]
    said: dict[str, dict[str, Any]]
    events: list[dict[str, Any]]

    def findings(self, plant: str, kind: str) -> list[dict[str, Any]]:
        """Return what was found of one kind where that bug had been planted."""
        assert self.codes[plant] == 1, self.said[plant]
        return [each for each in self.said[plant]["findings"] if each["kind"] == kind]

    def hit(self) -> list[dict[str, Any]]:
        """Return the events that plants which choose by id hit."""
        hit = hit_ids(pl.Series("event_id", [each["event_id"] for each in self.events]), EVENT_RATE)
        return [each for each in self.events if each["event_id"] in hit]


@pytest.fixture(scope="module")
def audited(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """Fold one log by a healthy worker and by one of each plant, and audit what they made."""
    root = tmp_path_factory.mktemp("planted")
    records = list(generate_fleet(5, NOW, runs=40, losses=False))
    asyncio.run(make_topics(kafka.bootstrap, TOPIC))
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(_worker(kafka, root / name, name))
            for name in (NOTHING, *RATES)
        }
        half = len(records) // 2
        for part in (records[:half], records[half:]):
            asyncio.run(publish(kafka.bootstrap, TOPIC, part))
            ends = asyncio.run(log_bounds(kafka.bootstrap, TOPIC)).next_offsets
            for name, worker in workers.items():
                _wait_for(root / name, ends, worker)
        audits = {name: _audit(kafka, root / name) for name in workers}
        said = {name: json.loads(each.communicate(timeout=60)[0]) for name, each in audits.items()}
    codes = {name: each.returncode for name, each in audits.items()}
    return Audited(codes, said, _events(records))


def _wait_for(folder: Path, ends: dict[int, int], worker: WorkerProcess) -> None:
    wait_until(lambda: _durable(folder) == ends, f"{folder.name} is done", workers=[worker])


def _worker(kafka: KafkaServer, folder: Path, name: str) -> WorkerProcess:
    folder.mkdir()
    options = ("--group", f"audit-{name}", "--status-file", str(folder / "status.json"))
    program = PLAIN if name == NOTHING else planted(name, RATES[name])
    return WorkerProcess(kafka.bootstrap, TOPIC, folder / "lake", *options, program=program)


def _durable(folder: Path) -> dict[int, int]:
    status = read_status(folder / "status.json") or {"durable_offsets": {}}
    return {int(partition): offset for partition, offset in status["durable_offsets"].items()}


def _audit(kafka: KafkaServer, folder: Path) -> subprocess.Popen[str]:
    where = ["--broker", kafka.bootstrap, "--topic", TOPIC, "--lake", str(folder / "lake")]
    command = [sys.executable, "-m", "runfold.deploy", "audit", "--format", "json", *where]
    command += ["--data-dir", str(folder)]  # no journals but those of the test
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _events(records: list[DemoRecord]) -> list[dict[str, Any]]:
    by_id = {each.event["event_id"]: each.event for each in records if each.event is not None}
    return list(by_id.values())


def test_where_nothing_is_planted_all_balances(audited: Audited) -> None:
    said = audited.said[NOTHING]
    assert said["findings"] == []
    assert audited.codes[NOTHING] == 0
    assert said["ok"]
    assert said["ledger"]["emitted"] == said["ledger"]["stored"] == len(audited.events)
    assert not [each for each in said["notes"] if each["kind"] in ("lag", "log_unknown")]


def test_lost_events_are_named_by_run_number_and_file(audited: Audited) -> None:
    named = {
        (each["run_id"], f"{each['producer']}-{number}")
        for each in audited.findings("drop", "missing_events")
        for first, last in each["ranges"]
        for number in range(first, last + 1)
    }
    stored_last = {
        run: max(_number(each) for each in audited.events if each["run_id"] == run)
        for run in {each["run_id"] for each in audited.events}
    }
    lost = {(each["run_id"], each["event_id"]) for each in audited.hit()}
    seen_by_number = {
        (each["run_id"], each["event_id"])
        for each in audited.hit()
        if _number(each) < stored_last[each["run_id"]]
    }
    assert seen_by_number <= named <= lost
    assert len(seen_by_number) > 5
    short = audited.findings("drop", "records_short")
    missing = [each["said"]["records"] - sum(_outcomes(each)) for each in short]
    assert sum(missing) >= len(lost)  # an event that came twice was lost twice


def _outcomes(finding: dict[str, Any]) -> list[int]:
    return [finding["said"][name] for name in ("events", "duplicates", "dead_letters")]


def _number(event: dict[str, Any]) -> int:
    minted = split_minted_id(event["event_id"])
    assert minted is not None
    return minted[1]


def test_events_folded_twice_are_named_by_run(audited: Audited) -> None:
    found = audited.findings("twice", "state_differs")
    assert {each["run_id"] for each in found} <= {each["run_id"] for each in audited.hit()}
    assert len(found) > 5
    for each in found:
        events = each["fields"]["events"]
        assert events["state"] > events["events"]


def test_a_range_written_one_short_is_named_by_its_offset(audited: Audited) -> None:
    holes = audited.findings("short-range", "hole")
    assert {each["files"] for each in holes} == {"events", "states"}
    assert all(each["first"] == each["last"] for each in holes)


def test_a_row_that_was_not_written_is_named_by_its_file(audited: Audited) -> None:
    found = audited.findings("short-rows", "rows_and_label")
    assert found
    for each in found:
        assert each["said"] == each["found"] + 1
        assert Path(each["file"]).name.endswith(f"{each['last']:012d}.parquet")


def test_an_audit_beside_clients_and_workers_finds_nothing(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    settings = load_settings({}, data_dir=tmp_path, broker=kafka.bootstrap)
    client = Client(broker=kafka.bootstrap, journal_dir=tmp_path / "journal")
    runs = [client.run(f"busy-{number}") for number in range(4)]
    enough = threading.Event()

    def work() -> None:
        while not enough.wait(0.002):
            for run in runs:
                run.event("log.written")

    def ours(report: Report) -> list[Finding]:
        """Leave out what other tests put into the log that all share."""
        mine = {run.run_id for run in runs}
        return [each for each in report.findings if each.facts.get("run_id", mine) in (*mine, mine)]

    agent = threading.Thread(target=work)
    with WorkerProcess(kafka.bootstrap, EVENTS.name, settings.lake_dir) as worker:
        agent.start()
        wait_until(lambda: bool(list_logs(settings.lake_dir)), "a lake", workers=[worker])
        reports = [audit_lake(settings, Scope(), on_step=lambda _: None) for _ in range(8)]
        enough.set()
        agent.join()
        client.close()
    assert [ours(each) for each in reports] == [[]] * 8
    assert reports[-1].checked["events"] > reports[0].checked["events"]
