"""Reading what journals hold while others write and ship them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from runfold.producers.declarations import Declarations
from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_contents import journal_contents
from runfold.producers.journal_folder import Owner, Position, write_position
from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.offsets import OffsetRange

TOKEN = "rf00000000000000000001"


def line(number: int, run_id: str = "r") -> bytes:
    return orjson.dumps({"run_id": run_id, "event_id": f"{TOKEN}.1-{number}"}) + b"\n"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Give a journal of a living process with small segments, in which ten events wait."""
    limits = JournalLimits(segment_bytes=3 * len(line(1)))
    journal = Journal(tmp_path, Owner(TOKEN, 1, None), limits)
    for number in range(1, 11):
        journal.append(line(number))
    return journal


def waiting(root: Path, run_id: str = "r") -> list[OffsetRange]:
    ids = journal_contents(root).waiting.get(run_id, EventIdSet())
    return list(ids.ranges_of(f"{TOKEN}.1"))


def test_no_folder_holds_nothing(tmp_path: Path) -> None:
    assert journal_contents(tmp_path / "nowhere").waiting == {}


def test_what_waits_is_told_and_stays(journal: Journal, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in journal.folder.iterdir()}
    assert waiting(tmp_path) == [OffsetRange(1, 10)]
    assert {path: path.read_bytes() for path in journal.folder.iterdir()} == before


def test_what_was_shipped_does_not_wait(journal: Journal, tmp_path: Path) -> None:
    write_position(journal.folder, Position(2, len(line(1))))
    assert waiting(tmp_path) == [OffsetRange(5, 10)]


def test_a_line_that_is_being_written_is_not_there_yet(journal: Journal, tmp_path: Path) -> None:
    journal.append(line(11)[:-5])
    assert waiting(tmp_path) == [OffsetRange(1, 10)]


def test_drops_that_are_not_declared_yet_are_told(journal: Journal, tmp_path: Path) -> None:
    ids = EventIdSet()
    ids.extend(f"{TOKEN}.1", 3, 5)
    Declarations(journal.folder).declare({"r": ids}, reason="journal_full")
    [drop] = map(orjson.loads, journal_contents(tmp_path).drops)
    assert (drop["run_id"], drop["attributes"]["ranges"]) == ("r", [[3, 5]])
