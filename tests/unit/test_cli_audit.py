"""`runfold audit` as a user calls it, over a lake without a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from runfold.deploy.cli.app import run as run_command_line
from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_folder import Owner
from tests.lakes_of_events import LakeOfEvents, event

PRODUCER = "rf00000000000000000001.1"
NOBODY = "127.0.0.1:1"


@pytest.fixture
def lake(tmp_path: Path) -> LakeOfEvents:
    """Give a lake with a run of which the first three events are stored."""
    ids = (f"{PRODUCER}-{number}" for number in (1, 2, 3))
    return LakeOfEvents(tmp_path / "lake").put(
        *(event("run-a", "custom", event_id=each) for each in ids)
    )


class Asked:
    """Calls `runfold audit` over the data of the test."""

    def __init__(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._data_dir = data_dir
        self._capsys = capsys

    def __call__(self, *options: str) -> tuple[int, str]:
        """Return the exit code and all that was said."""
        command = ["audit", *options, "--data-dir", str(self._data_dir), "--broker", NOBODY]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["runfold", *command])
            with pytest.raises(SystemExit) as ended:
                run_command_line()
        said = self._capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, said.out + said.err

    def json(self, *options: str) -> Any:
        """Return what it says as JSON."""
        return orjson.loads(self(*options, "--format", "json")[1])


@pytest.fixture
def audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Give the command."""
    return Asked(tmp_path, capsys)


def test_a_lake_that_balances_exits_with_0_and_says_what_was_not_asked(
    lake: LakeOfEvents, audit: Asked
) -> None:
    code, said = audit()
    assert code == 0
    assert "✔ all balances" in said
    assert "judged without the log: no answer from Kafka at 127.0.0.1:1" in said
    assert lake.root.is_dir()


def test_one_that_does_not_exits_with_1_and_names_the_numbers(
    lake: LakeOfEvents, audit: Asked
) -> None:
    lake.put(event("run-a", "custom", event_id=f"{PRODUCER}-9"))
    code, said = audit()
    assert code == 1
    assert f"run run-a: 5 of 9 events of {PRODUCER} are nowhere: 4-8" in said


def test_json_is_one_object(lake: LakeOfEvents, audit: Asked) -> None:
    lake.put(event("run-a", "custom", event_id=f"{PRODUCER}-5"))
    said = audit.json("--since", "9999d")
    assert said["ok"] is False
    assert said["checked"]["events"] == 4
    [finding] = said["findings"]
    assert (finding["kind"], finding["run_id"], finding["ranges"]) == (
        "missing_events",
        "run-a",
        [[4, 4]],
    )
    assert said["ledger"]["missing"] == 1


def test_the_table_is_capped_and_json_is_not(lake: LakeOfEvents, audit: Asked) -> None:
    lake.put(*(event(f"r{n}", "custom", event_id=f"rf{n:020x}.1-2") for n in range(40)))
    said = audit()[1]
    assert "… and 10 more" in said
    assert said.count("missing events: run r") == 30
    assert len(audit.json()["findings"]) == 40


def test_what_waits_in_the_journal_of_this_machine_is_not_missing(
    lake: LakeOfEvents, audit: Asked, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal", Owner(PRODUCER[:22], 1, None), JournalLimits())
    waiting = {"run_id": "run-a", "event_id": f"{PRODUCER}-4"}
    journal.append(orjson.dumps(waiting) + b"\n")
    assert audit.json()["ledger"]["in_journals"] == 1
    journal.close()
    assert lake.root.is_dir()


def test_one_run_is_shown_by_producer_and_may_be_abbreviated(
    lake: LakeOfEvents, audit: Asked
) -> None:
    lake.put(event("other", "custom", event_id="rf00000000000000000002-7"))
    code, said = audit("--run", "run-")
    assert code == 0
    assert PRODUCER in said
    assert audit("--run", "other")[0] == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--run", "rum-a"), "there is no run 'rum-a'; did you mean run-a?"),
        (("--since", "soon"), "not a time: 'soon'"),
        (("--since", "1h", "--run", "run-a"), "exclude each other"),
        (("--lake", "/nowhere/at/all"), "there is no lake at /nowhere/at/all"),
    ],
)
def test_a_wrong_use_says_what_is_wrong(
    lake: LakeOfEvents, audit: Asked, options: tuple[str, ...], problem: str
) -> None:
    code, said = audit(*options)
    assert code == (1 if "--lake" in options else 2)
    assert problem in said
    assert lake.root.is_dir()
