"""`runfold reset` deletes what the stack keeps, asks first, and leaves the journals."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from runfold.deploy.cli.app import app
from runfold.deploy.stack import StackPlaces
from runfold.schemas.errors import ConfigurationError


def a_home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    for name in ("kafka", "lake", "postgres", "journal"):
        (home / name).mkdir(parents=True)
        (home / name / "file").write_text("data")
    return home


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_without_a_yes_nothing_is_deleted(tmp_path: Path, answer: str) -> None:
    home = a_home(tmp_path)
    result = CliRunner().invoke(app, ["reset", "--data-dir", str(home)], input=answer)
    assert result.exit_code == 1
    assert len(list(home.glob("*/file"))) == 4


def test_with_a_yes_the_journals_alone_stay(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    left_by_a_killed_stack = StackPlaces(home).description
    left_by_a_killed_stack.write_text("{}")
    result = CliRunner().invoke(app, ["reset", "--data-dir", str(home)], input="y\n")
    assert result.exit_code == 0
    assert [each.parent.name for each in home.glob("*/file")] == ["journal"]
    assert not left_by_a_killed_stack.exists()
    again = CliRunner().invoke(app, ["reset", "--data-dir", str(home), "--yes"])
    assert "nothing to delete" in again.output


def test_while_a_stack_runs_nothing_is_deleted(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    lock = StackPlaces(home).lock
    lock.acquire()
    try:
        result = CliRunner().invoke(app, ["reset", "--data-dir", str(home), "--yes"])
    finally:
        lock.release()
    assert isinstance(result.exception, ConfigurationError)
    assert (home / "lake" / "file").exists()
