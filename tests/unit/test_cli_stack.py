"""What the commands around the stack say where it does not run, or was killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runfold.deploy.cli import app as command_line
from runfold.deploy.stack import StackPlaces

NOBODY = "127.0.0.1:1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose stack was killed: it said what it is, and could not take it back."""
    said = {"pid": 2**22, "broker": NOBODY, "page": "http://127.0.0.1:1/", "started_at": 0}
    StackPlaces(tmp_path).description.write_text(json.dumps(said))
    return tmp_path


def type_(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_line.app, list(words))
    return result.exit_code, result.output


def test_a_stack_that_was_killed_is_down(home: Path) -> None:
    code, said = type_("status", "--data-dir", str(home), "--format", "json")
    assert code == 1
    status = json.loads(said)
    assert status["stack"] is False
    assert "page" not in status
    _, said = type_("doctor", "--data-dir", str(home), "--format", "json")
    found = {each["name"]: each["found"] for each in json.loads(said)}
    assert found["stack"].startswith("not running")
    assert "worker" not in found


def test_where_no_kafka_answers_it_says_which_and_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["runfold", "demo", "--runs", "1", "--data-dir", str(home)])
    with pytest.raises(SystemExit) as stopped:
        command_line.run()
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert f"to Kafka at {NOBODY}" in said
    assert f"error: Kafka at {NOBODY}: no answer" in said
    assert "`runfold up` starts a Kafka here" in said


def test_logs_show_every_part_with_its_name_or_one_alone(home: Path) -> None:
    places = StackPlaces(home)
    places.worker_log.parent.mkdir()
    places.worker_log.write_text("first\nfolding\n")
    places.collector_log.write_text("collecting\n")
    code, said = type_("logs", "-n", "1", "--data-dir", str(home))
    assert (code, said.splitlines()) == (0, ["worker     folding", "collector  collecting"])
    assert type_("logs", "worker", "--data-dir", str(home)) == (0, "first\nfolding\n")
    code, said = type_("logs", "kafka", "--data-dir", str(home))
    assert code == 1
