"""`runfold ship`: what dead processes left, to where they would have sent it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runfold.deploy.cli.app import app
from runfold.producers import Client
from tests.collectors import Collector, collecting

_NOWHERE = "http://127.0.0.1:1"
_AGENT = """
import os, sys
from runfold.producers import Client
client = Client(journal_dir=sys.argv[1], endpoint=sys.argv[2])
client.end_run(client.start_run())
os._exit(0)  # and nothing was shipped
"""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("RUNFOLD_BROKER", "127.0.0.1:1")
    with collecting() as one:
        yield one


def _die(journal: Path, endpoint: str = _NOWHERE) -> None:
    subprocess.run([sys.executable, "-c", _AGENT, journal, endpoint], check=True, env=os.environ)


def _ship(*arguments: object) -> tuple[int, dict[str, Any], str]:
    done = CliRunner().invoke(app, ["ship", "--format", "json", *map(str, arguments)])
    return done.exit_code, json.loads(done.stdout), done.stderr


def test_what_two_dead_agents_left_is_shipped(collector: Collector, tmp_path: Path) -> None:
    _die(tmp_path)
    _die(tmp_path)
    code, figures, _ = _ship("--journal", tmp_path, "--broker", collector.url)
    assert code == 0
    assert (figures["journals_shipped"], figures["events_shipped"]) == (2, 4)
    assert len({each["event_id"] for each in collector.events}) == 4
    assert _ship("--journal", tmp_path)[:2] == (0, {**figures} | dict.fromkeys(figures, 0))


def test_each_goes_to_where_its_process_would_have_sent_it(
    collector: Collector, tmp_path: Path
) -> None:
    _die(tmp_path, collector.url)
    _die(tmp_path, _NOWHERE)
    collector.events.clear()  # what the first one was quick enough to send itself
    code, figures, told = _ship("--journal", tmp_path)
    assert code == 1
    assert (figures["journals_shipped"], figures["journals_left"]) == (1, 1)
    assert len(collector.events) == 2
    assert _NOWHERE in told


def test_the_journal_of_a_running_agent_is_left_to_it(collector: Collector, tmp_path: Path) -> None:
    client = Client(journal_dir=tmp_path, endpoint=_NOWHERE, heartbeat_seconds=None)
    client.start_run()
    code, figures, _ = _ship("--journal", tmp_path, "--broker", collector.url)
    assert (code, figures["journals_of_running_agents"]) == (0, 1)
    assert collector.events == []
    client.close(timeout=0)


def test_what_cannot_be_read_is_named_and_its_neighbour_shipped(
    collector: Collector, tmp_path: Path
) -> None:
    _die(tmp_path)
    _die(tmp_path)
    first = min(tmp_path.glob("rf*"))
    (segment,) = first.glob("*.ndjson")
    segment.unlink()
    segment.mkdir()
    code, figures, told = _ship("--journal", tmp_path, "--broker", collector.url)
    assert (code, figures["journals_shipped"], figures["journals_left"]) == (1, 1, 1)
    assert first.name in told


def test_a_folder_that_is_not_there_is_a_wrong_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", "ship", "--journal", tmp_path / "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no folder" in done.stderr
