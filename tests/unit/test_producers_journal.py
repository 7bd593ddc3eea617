"""The journal on disk: what is written survives, in order, within its size."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_folder import (
    Owner,
    Position,
    claim_folder,
    journals_below,
    read_position,
    segment_numbers,
    segment_path,
)
from runfold.producers.journal_reader import JournalReader

TOKEN = "rf" + "0" * 20
SMALL = JournalLimits(segment_bytes=200, total_bytes=2000, memory_bytes=1000)


def _journal(root: Path, limits: JournalLimits = SMALL, token: str = TOKEN) -> Journal:
    return Journal(root, Owner(token, os.getpid(), None), limits)


def _read_all(reader: JournalReader) -> list[bytes]:
    lines: list[bytes] = []
    while (chunk := reader.read()) is not None:
        lines += chunk.lines
        reader.advance(chunk.end)
    reader.close()
    return lines


def _lines(number: int) -> list[bytes]:
    return [b'{"n":%d,"pad":"0123456789"}' % n for n in range(number)]


def test_lines_are_read_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    for line in _lines(50):
        journal.append(line + b"\n")
    journal.close()
    assert len(segment_numbers(journal.folder)) > 3
    assert _read_all(JournalReader(journal.folder, live=False)) == _lines(50)


def test_a_segment_ends_when_it_has_reached_its_size(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.append(b"x" * 199 + b"\n")
    assert journal.end == Position(2, 0)
    journal.append(b"y\n")
    assert journal.end == Position(2, 2)
    journal.close()


def test_segments_that_are_shipped_are_deleted(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    for line in _lines(50):
        journal.append(line + b"\n")
    last = journal.end.segment
    _read_all(JournalReader(journal.folder, live=True))
    assert segment_numbers(journal.folder) == [last]
    journal.close()


def test_a_reader_begins_where_the_one_before_it_ended(tmp_path: Path) -> None:
    journal = _journal(tmp_path, JournalLimits())
    journal.append(b"1\n")
    _read_all(JournalReader(journal.folder, live=True))
    journal.append(b"2\n")
    journal.close()
    assert _read_all(JournalReader(journal.folder, live=False)) == [b"2"]


def test_an_unreadable_position_means_from_the_beginning(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.append(b"1\n")
    (journal.folder / "position").write_text("{torn")
    assert read_position(journal.folder) == Position(0, 0)
    assert _read_all(JournalReader(journal.folder, live=True)) == [b"1"]
    journal.close()


def test_a_torn_last_line_is_awaited_while_its_process_lives(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.append(b"whole\n")
    journal.append(b"half")
    reader = JournalReader(journal.folder, live=True)
    assert _read_all(reader) == [b"whole"]
    journal.append(b" and half\n")
    assert _read_all(reader) == [b"half and half"]
    journal.close()


def test_a_torn_last_line_of_a_dead_process_is_counted_and_not_read(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.append(b"whole\n")
    journal.append(b"half")
    journal.close()
    reader = JournalReader(journal.folder, live=False)
    lines: list[bytes] = []
    torn = 0
    while (chunk := reader.read()) is not None:
        lines += chunk.lines
        torn += chunk.torn
        reader.advance(chunk.end)
    reader.close()
    assert (lines, torn) == ([b"whole"], 1)


@given(st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line)), st.integers(1, 300))
def test_any_lines_come_back_whatever_the_size_of_segments(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], segment_bytes: int
) -> None:
    root = tmp_path_factory.mktemp("journal")
    journal = _journal(root, JournalLimits(segment_bytes, 1 << 30, 0))
    reader = JournalReader(journal.folder, live=True)
    read: list[bytes] = []
    for line in lines:
        journal.append(line + b"\n")
        if len(line) % 2:
            read += _read_all(reader)
    read += _read_all(reader)
    journal.close()
    assert read == lines


def test_a_line_longer_than_a_read_comes_back(tmp_path: Path) -> None:
    journal = _journal(tmp_path, JournalLimits())
    lines = [b"a" * 3_000_000, b"b"]
    for line in lines:
        journal.append(line + b"\n")
    assert _read_all(JournalReader(journal.folder, live=True)) == lines
    journal.close()


def test_a_journal_far_beyond_its_size_takes_no_more_until_room_is_made(tmp_path: Path) -> None:
    journal = _journal(tmp_path, JournalLimits(100, 200, 0))
    for _ in range(7):
        journal.append(b"x" * 99 + b"\n")
    with pytest.raises(OSError, match="full"):
        journal.append(b"x\n")
    segment_path(journal.folder, 1).unlink()
    journal.check_size()
    journal.append(b"x\n")
    journal.close()


def test_a_full_disk_leaves_no_piece_of_a_line_behind(tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (105, 105))"
    script = f"""
import signal
{limited}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_folder import Owner
journal = Journal(Path({str(tmp_path)!r}), Owner({TOKEN!r}, 1, None), JournalLimits())
journal.append(b"x" * 99 + b"\\n")
try:
    journal.append(b"y" * 99 + b"\\n")
except OSError:
    journal.append(b"z\\n")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert segment_path(tmp_path / TOKEN, 1).read_bytes() == b"x" * 99 + b"\nz\n"


def test_a_journal_whose_process_lives_cannot_be_claimed(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    assert claim_folder(journal.folder) is None
    journal.close()
    lock = claim_folder(journal.folder)
    assert lock is not None
    assert claim_folder(journal.folder) is None
    lock.release()


def test_a_second_journal_of_the_same_token_is_refused(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    with pytest.raises(OSError, match=TOKEN):
        _journal(tmp_path)
    journal.close()


_APPENDING = """
import sys
from pathlib import Path
from runfold.producers import Client
from tests.memory_log import MemoryLog
log = MemoryLog()
log.down = True
client = Client(agent="killed", journal_dir=Path(sys.argv[1]), publisher=log.open)
run_id = client.start_run()
for n in range(2, 100_001):
    client.event(run_id, "tool.ended", tool_name="t", duration_ms=float(n))
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("kill_after", [20_000, 99_999])
def test_kill_minus_9_loses_no_event_whose_call_had_returned(
    tmp_path: Path, kill_after: int
) -> None:
    child = subprocess.Popen([sys.executable, "-c", _APPENDING, tmp_path], stdout=subprocess.PIPE)
    assert child.stdout is not None
    returned = 0
    for printed in child.stdout:
        returned = int(printed)
        if returned >= kill_after:
            child.send_signal(signal.SIGKILL)
            break
    returned = max([returned, *(int(each) for each in child.stdout if each.endswith(b"\n"))])
    child.wait()
    child.stdout.close()

    (folder,) = journals_below(tmp_path)
    lines = _read_all(JournalReader(folder, live=False))
    sequences = [int(orjson.loads(line)["event_id"].rpartition("-")[2]) for line in lines]
    assert sequences == list(range(1, len(lines) + 1))
    assert len(lines) >= returned
