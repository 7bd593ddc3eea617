"""How a journal lies on disk; `docs/journal-format.md` describes it.

`<root>/<token>/` is written by one process and holds numbered segments, the position up to which
they are shipped, the drops to declare, and a lock that is held while the process lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

LOCK = "lock"
POSITION = "position"
DROPPED = "dropped.ndjson"
REJECTED = "rejected.ndjson"
_SEGMENT = re.compile(r"[0-9]{8,}\.ndjson", re.ASCII)
_TOKEN = re.compile(r"rf[0-9a-f]{20}", re.ASCII)
_UNFINISHED = ".new-"


class Position(NamedTuple):
    """A place in a journal: everything before `offset` bytes of segment number `segment`."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Who writes a journal. `broker` is what was configured, None for the machine's own."""

    token: str
    pid: int
    broker: str | None


class FolderLock:
    """Holds a journal folder for this process; released by `release` or by the process's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have the folder. In a forked child: only let go of the parent's lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def create_folder(root: Path, owner: Owner) -> FolderLock:
    """Make the folder of `owner` below `root` and return its lock, held.

    The folder gets its name when it is locked, so no one takes it for an orphan in between.
    Raises: OSError.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = root / f"{_UNFINISHED}{owner.token}"
    unfinished.mkdir(mode=0o700)
    (unfinished / LOCK).write_text(json.dumps(asdict(owner)), "utf-8")
    lock = _lock(unfinished)
    if lock is None:
        raise OSError(f"{unfinished} is locked by another process")
    unfinished.rename(root / owner.token)
    return lock


def claim_folder(folder: Path) -> FolderLock | None:
    """Lock a journal whose process is gone; None where it lives or another was quicker."""
    try:
        return _lock(folder)
    except OSError:
        return None


def _lock(folder: Path) -> FolderLock | None:
    path = folder / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return FolderLock(descriptor)
    except OSError:
        os.close(descriptor)
        return None
    os.close(descriptor)
    return None


def owner_of(folder: Path) -> Owner | None:
    """Return who wrote a journal, None where its lock file does not tell."""
    try:
        return Owner(**json.loads((folder / LOCK).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def journals_below(root: Path) -> list[Path]:
    """Return the journal folders below `root`, the oldest first; none where it cannot be read."""
    try:
        return sorted(each for each in root.iterdir() if _TOKEN.fullmatch(each.name))
    except OSError:
        return []


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of segment `number`."""
    return folder / f"{number:08}.ndjson"


def segment_numbers(folder: Path) -> list[int]:
    """Return the numbers of the segments that are there, ascending; none where no folder is."""
    try:
        return sorted(int(each.stem) for each in folder.iterdir() if _SEGMENT.fullmatch(each.name))
    except OSError:
        return []


def segment_sizes(folder: Path) -> Iterator[tuple[int, int]]:
    """Yield number and size in bytes of every segment, ascending."""
    for number in segment_numbers(folder):
        yield number, segment_path(folder, number).stat().st_size


def read_position(folder: Path) -> Position:
    """Return up to where a journal is shipped; its beginning where that is not known."""
    try:
        known = json.loads((folder / POSITION).read_text("utf-8"))
        return Position(int(known["segment"]), max(int(known["offset"]), 0))
    except (OSError, ValueError, TypeError, KeyError):
        return Position(0, 0)


def write_position(folder: Path, position: Position) -> None:
    """Remember up to where a journal is shipped. Not synced: a lost one only ships twice."""
    temporary = folder / f"{POSITION}.new"
    temporary.write_text(json.dumps(position._asdict()), "utf-8")
    temporary.replace(folder / POSITION)


def remove_folder(folder: Path) -> None:
    """Delete a journal that is shipped; its lock, which this process holds, goes last.

    Raises: OSError.
    """
    others = [each for each in folder.iterdir() if each.name != LOCK]
    for each in (*others, folder / LOCK):
        each.unlink(missing_ok=True)
    folder.rmdir()
