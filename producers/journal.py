"""The journal: an append-only NDJSON file in segments, written with one system call an event."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runfold.producers.journal_folder import (
    FolderLock,
    Owner,
    Position,
    create_folder,
    segment_path,
    segment_sizes,
)

_SEGMENT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_MiB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How large a journal grows before its oldest segment is dropped, declared.

    Units: bytes. A segment is the unit of what is dropped and of what is deleted when shipped.
    `memory_bytes` is what is kept in memory where the journal cannot be written.
    """

    segment_bytes: int = 8 * _MiB
    total_bytes: int = 512 * _MiB
    memory_bytes: int = 8 * _MiB


class Journal:
    """Writes one process's journal. Not thread-safe: the caller holds a lock.

    Delivery: a line is in the operating system's hands when `append` returns, so it survives the
    process (kill -9 included); the shipper syncs it to the disk
    every few seconds while it cannot be shipped.
    """

    def __init__(self, root: Path, owner: Owner, limits: JournalLimits) -> None:
        """Create the journal's folder and lock it. Raises: OSError."""
        self.folder = root / owner.token
        self._limits = limits
        self._lock: FolderLock = create_folder(root, owner)
        self._segment = 1
        self._offset = 0
        self._overfull = False
        try:
            self._descriptor = os.open(segment_path(self.folder, 1), _SEGMENT_FLAGS, 0o600)
        except OSError:
            self._lock.release()
            raise

    def append(self, line: bytes) -> None:
        """Write one line, which ends in a newline, wholly or not at all. Raises: OSError."""
        if self._overfull:
            raise OSError(errno.EDQUOT, "the journal is full")
        written = os.write(self._descriptor, line)
        if written != len(line):
            with suppress(OSError):  # if the piece stays, a reader counts it as a torn line
                os.ftruncate(self._descriptor, self._offset)
            raise OSError(errno.ENOSPC, "the disk took only a part of the line")
        self._offset += written
        if self._offset >= self._limits.segment_bytes:
            self._roll()

    @property
    def end(self) -> Position:
        """The position behind the last line."""
        return Position(self._segment, self._offset)

    def check_size(self) -> None:
        """Find out whether the journal may grow; the shipper drops the oldest part meanwhile."""
        slack = self._limits.segment_bytes * 4
        size = sum(size for _, size in segment_sizes(self.folder))
        self._overfull = size > self._limits.total_bytes + slack

    def another_descriptor(self) -> int:
        """Return a descriptor of the present segment, to sync it without the caller's lock."""
        return os.dup(self._descriptor)

    def close(self) -> None:
        """Stop writing and let another process ship what is left."""
        self._lock.release()
        os.close(self._descriptor)

    def _roll(self) -> None:
        """Begin the next segment; where that fails the present one goes on growing."""
        with suppress(OSError):
            descriptor = os.open(
                segment_path(self.folder, self._segment + 1), _SEGMENT_FLAGS, 0o600
            )
            os.close(self._descriptor)
            self._descriptor = descriptor
            self._segment, self._offset = self._segment + 1, 0
            self.check_size()
