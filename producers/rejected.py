"""Lines of journals that can never be sent: they are kept in `rejected.ndjson` until erased."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson

from runfold.producers.debug import explain
from runfold.producers.journal_folder import REJECTED

_MAX_REJECTED_BYTES = 64 * 1024 * 1024


def keep_rejected(root: Path, line: bytes, *, reason: str, message: str) -> None:
    """Append a line that can never be sent to `rejected.ndjson`, with what is wrong with it.

    Units: the file stops growing at 64 MiB; the loss is declared in any case.
    """
    kept = {"reason": reason, "message": message, "line": line.decode("utf-8", "backslashreplace")}
    try:
        with _alone(root / REJECTED) as file:
            if os.fstat(file.fileno()).st_size < _MAX_REJECTED_BYTES:
                file.write(orjson.dumps(kept) + b"\n")
    except OSError as error:
        explain("a rejected event cannot be kept", error)
    explain(f"an event was rejected: {reason}: {message}")


def rejected_line(kept: bytes) -> bytes:
    """Return the line of a journal that a line of `rejected.ndjson` keeps, and why it is there."""
    try:
        said = orjson.loads(kept)
        return f"{said['message']}\n{said['line']}".encode("utf-8", "replace")
    except (ValueError, TypeError, LookupError):
        return kept


def erase_rejected(root: Path, are_meant: Callable[[list[bytes]], list[bool]]) -> int:
    """Take lines out of the `rejected.ndjson` in `root`; return how many.

    Shape: `are_meant` tells of each of some lines of a journal whether it is to go.
    Delivery: safe beside living processes and to repeat: the others are there at any time.
    Raises: OSError.
    """
    path = root / REJECTED
    if not path.exists():
        return 0
    with _alone(path):
        kept = path.read_bytes().splitlines(keepends=True)
        meant = are_meant([rejected_line(each) for each in kept])
        if not any(meant):
            return 0
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.writelines(each for each, goes in zip(kept, meant, strict=True) if not goes)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    return sum(meant)


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """Open a file to append to it; whoever replaces it does so before or after."""
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(path, file):
                yield file
                return


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
