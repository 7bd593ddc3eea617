"""`runfold compact`, as a user sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from runfold.sinks.state_sets import StateSet, states_root, write_set
from tests.unit.test_compaction import made, read


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Give a lake of 11 files of each kind, of which 10 are of a day that is over."""
    return made(tmp_path / "lake")


def run(lake: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runfold.deploy", "compact", "--lake", str(lake), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def files(lake: Path) -> list[Path]:
    return sorted(lake.rglob("p*.parquet"))


def test_a_dry_run_says_what_would_be_done_and_does_nothing(lake: Path) -> None:
    before = {path: path.read_bytes() for path in files(lake)}
    said = orjson.loads(run(lake, "--dry-run", "--format", "json").stdout)
    assert (said["merged_files"], said["written_files"], said["removed_files"]) == (21, 2, 0)
    assert said["before"] == said["after"]
    assert said["before"]["events"]["files"] == 11
    assert {path: path.read_bytes() for path in files(lake)} == before


def test_what_is_merged_stays_for_the_grace_and_then_goes(lake: Path) -> None:
    before = read(lake)
    assert "files that were merged are removed when the grace is over" in run(lake).stdout
    assert len(files(lake)) == 24
    said = orjson.loads(run(lake, "--grace", "0", "--format", "json").stdout)
    assert said["removed_files"] == 21
    assert {kind: each["files"] for kind, each in said["after"].items()} == {
        "events": 2,
        "states": 1,
    }
    assert len(files(lake)) == 3
    assert read(lake) == before


def test_sets_of_states_beside_the_lake_are_compacted_too(lake: Path) -> None:
    write_set(lake, StateSet("another"))
    root = Path(str(states_root(lake, "another")))
    for path in (lake / "AAAAAAAAAAAAAAAAAAAAAA" / "states").glob("p*.parquet"):
        copy = root / path.relative_to(lake)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    run(lake, "--grace", "0")
    assert len(list(root.rglob("p*.parquet"))) == 1


@pytest.mark.parametrize("grace", ["soon", "-5m", "15", "1.5h"])
def test_a_grace_that_is_no_span_is_a_wrong_use(lake: Path, grace: str) -> None:
    done = run(lake, f"--grace={grace}", code=2)
    assert f"--grace is no span of time: '{grace}'" in done.stderr
    assert len(files(lake)) == 22


def test_where_there_is_no_lake_it_says_so_and_makes_none(tmp_path: Path) -> None:
    done = run(tmp_path / "nothing", code=1)
    assert "there is no lake at" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_file_is_named_and_the_rest_is_done(lake: Path) -> None:
    path = files(lake)[2]
    path.write_bytes(b"")
    done = run(lake, "--grace", "0", "--format", "json")
    assert str(path) in done.stderr
    assert orjson.loads(done.stdout)["written_files"] > 1
