"""The Makefile's commands around the stack: the Automagik guide's, and none destroys unasked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
OF_THE_GUIDE = (
    "help start stop restart logs status health dashboard test query query-traces query-stats "
    "clean reset backup restore"
)
DESTROYING = {
    "reset": ["down", "reset --yes"],
    "restore": ["down", "restore backups --replace --lake-only"],
}


def make(folder: Path, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run make in an empty folder, with `echo` in the place of `runfold`."""
    command = ["make", "-s", "-f", str(MAKEFILE), "-o", "install", "RUNFOLD=echo", *words]
    return subprocess.run(
        command, cwd=folder, input=answer, capture_output=True, text=True, check=False
    )


def test_help_names_every_command_of_the_guide(tmp_path: Path) -> None:
    listed = {line.split()[1] for line in make(tmp_path).stdout.splitlines() if " make " in line}
    assert set(OF_THE_GUIDE.split()) <= listed


@pytest.mark.parametrize("name", DESTROYING)
@pytest.mark.parametrize("answer", ["", "no\n", "y\n"])
def test_without_a_yes_nothing_is_done(tmp_path: Path, name: str, answer: str) -> None:
    done = make(tmp_path, name, answer=answer)
    assert done.returncode != 0
    assert done.stdout.endswith("Type yes: nothing was done\n")
    assert "down" not in done.stdout


@pytest.mark.parametrize("name", DESTROYING)
@pytest.mark.parametrize(("words", "answer"), [(["FORCE=1"], ""), ([], "yes\n")])
def test_with_a_yes_or_by_force_it_is(
    tmp_path: Path, name: str, words: list[str], answer: str
) -> None:
    done = make(tmp_path, name, *words, answer=answer)
    assert done.returncode == 0
    assert done.stdout.rpartition("Type yes: ")[2].splitlines() == DESTROYING[name]


def test_clean_asks_and_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    for name in (".venv", "build", "backups"):
        (tmp_path / name).mkdir()
    assert make(tmp_path, "clean", answer="no\n").returncode != 0
    assert (tmp_path / ".venv").exists()
    assert make(tmp_path, "clean", "FORCE=1").returncode == 0
    assert [each.name for each in tmp_path.iterdir()] == ["backups"]


@pytest.mark.parametrize("sql", ["select 1", """select "run_id", 'a $b' from runs"""])
def test_a_query_arrives_as_it_was_given(tmp_path: Path, sql: str) -> None:
    given = "SQL=" + sql.replace("$", "$$")  # as make wants it
    assert make(tmp_path, "query", given).stdout == f"query {sql}\n"
