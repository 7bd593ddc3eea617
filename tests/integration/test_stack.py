"""`runfold up` as a user runs it: from nothing to a table of runs, stopped, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runfold.deploy.embedded import KafkaServer
from runfold.deploy.settings import running_stack
from runfold.deploy.worker_status import read_status
from tests.ending_with_us import ending_with_us
from tests.integration.stack_parts import wait_until

NOW = "2026-11-21T07:00:00Z"


class Home:
    """An empty home and the `runfold` commands typed in it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / ".runfold"
        self.environment = os.environ | {"HOME": str(folder), "NO_COLOR": "1"}
        self.environment.setdefault("XDG_CACHE_HOME", str(Path("~/.cache").expanduser()))
        self._output = folder / "up.log"
        self.up: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "runfold.deploy", *words]

    def type(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            self.command(*words), env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def start(self, *words: str) -> None:
        with self._output.open("wb") as output:
            command = ending_with_us(self.command(*words))
            self.up = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)
        wait_until(lambda: bool(running_stack(self.data)), "the stack is up", workers=[self])

    def said(self) -> str:
        return self._output.read_text("utf-8", "replace")

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.up is not None
        self.up.send_signal(how)
        return self.up.wait(60)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.type("status", "--format", "json"))
        return status

    def ready(self) -> bool:
        status = self.status()
        return bool(status.get("worker_ready")) and bool(status.get("collector_ready"))

    def runs_by_status(self) -> dict[str, int]:
        sql = "select recorded_status as status, count(*) as runs from runs group by 1"
        return {
            row["status"]: row["runs"]
            for row in json.loads(self.type("query", sql, "--format", "json"))
        }


@pytest.fixture(scope="module", autouse=True)
def _usual_port_taken() -> Iterator[None]:
    """Keep whoever speaks to Kafka's usual address away from the brokers of these tests."""
    with socket.socket() as squatter:
        with suppress(OSError):  # someone else has it
            squatter.bind(("127.0.0.1", 9092))
        yield


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    if home.up is not None and home.up.poll() is None:
        home.up.kill()
        home.up.wait()


def counted(demo: str) -> dict[str, int]:
    runs: dict[str, int] = json.loads(demo)["runs"]
    return runs


def test_a_demo_is_counted_as_it_was_published_also_after_kills_and_restarts(home: Home) -> None:
    home.start("up")
    demo = home.type("demo", "--runs", "40", "--now", NOW, "--format", "json")
    worker = read_status(home.data / "run" / "worker.json")
    assert worker is not None
    os.kill(worker["pid"], signal.SIGKILL)
    collector = read_status(home.data / "run" / "collector.json")
    assert collector is not None
    os.kill(collector["pid"], signal.SIGKILL)
    wait_until(lambda: home.status().get("lag_records") == 0, "folded", workers=[home])
    wait_until(home.ready, "ready", workers=[home])
    again = read_status(home.data / "run" / "collector.json")
    assert again is not None
    assert again["pid"] != collector["pid"]
    assert again["addresses"] == collector["addresses"]
    findings = json.loads(home.type("doctor", "--format", "json"))
    well = {each["name"]: each["well"] for each in findings}
    assert (well["worker"], well["collector"]) == (True, True)
    expected = counted(demo)
    assert home.runs_by_status() == expected
    assert home.stop() == 0
    assert "worker flushed and stopped" in home.said()
    home.type("status", code=1)
    assert home.runs_by_status() == expected

    home.start("up")
    home.type("demo", "--runs", "40", "--now", NOW)  # the same events once more
    wait_until(lambda: home.status().get("lag_records") == 0, "folded", workers=[home])
    assert home.runs_by_status() == expected
    assert "stopped the stack" in home.type("down")
    assert home.up is not None
    assert home.up.wait(60) == 0
    assert "nothing runs" in home.type("down")


def test_quickstart_shows_runs_and_a_second_stack_over_the_same_data_is_refused(
    home: Home,
) -> None:
    home.start("quickstart")
    wait_until(lambda: "runfold run ID" in home.said(), "the table is shown", workers=[home])
    assert "made-up fleet" in home.said()
    refused = subprocess.run(
        home.command("up", "--data-dir", str(home.data)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "a stack runs over" in refused.stderr
    assert home.type("logs", "worker", "-n", "3")
    assert home.stop(signal.SIGTERM) == 0


def test_up_uses_a_broker_that_is_given_and_free_ports_where_the_usual_are_taken(
    home: Home, kafka: KafkaServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        home.environment["RUNFOLD_COLLECTOR_LISTEN"] = f"127.0.0.1:{port},127.0.0.1:0"
        home.start("up", "--broker", kafka.bootstrap)
        moved, free = home.status()["collector_listens_at"]
        assert int(moved.rpartition(":")[2]) > port
        assert moved != free
        assert f"127.0.0.1:{port} is taken, so the collector uses {moved}" in home.said()
    assert home.status()["broker"] == kafka.bootstrap
    assert not (home.data / "kafka").exists()
    assert home.stop() == 0
