"""File locks that end with the processes that hold them, however they end.

A lock belongs to the open file, not to its name: a child that inherits the descriptor holds the
lock too, so a data directory stays locked until the last process that may write to it is gone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RETRY_SECONDS = 0.05


class LockHeld(Exception):
    """The lock is held; `pid` is what its holder wrote into the file, None if it is unreadable."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(path, pid)
        self.path = path
        self.pid = pid


class FileLock:
    """An exclusive lock on `path`, which holds the number of the process that took it.

    Errors: `LockHeld` when another process has it, OSError when the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """Return the open file that carries the lock, to be inherited by a child."""
        if self._descriptor is None:
            raise ValueError(f"{self.path} is not locked")
        return self._descriptor

    def acquire(self, *, wait_for_orphan: timedelta = timedelta(0)) -> None:
        """Take the lock at once, or raise `LockHeld`.

        When the process that took it is dead, its children are about to end: wait for them for
        `wait_for_orphan` before giving up.
        """
        give_up_at = time.monotonic() + wait_for_orphan.total_seconds()
        while True:
            pid = self._try_acquire()
            if self._descriptor is not None:
                return
            if _is_alive(pid) or time.monotonic() >= give_up_at:
                raise LockHeld(self.path, pid)
            time.sleep(_RETRY_SECONDS)

    def release(self) -> None:
        """Let go of the lock; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try_acquire(self) -> int | None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            written = os.pread(descriptor, 32, 0).strip()
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            return int(written) if written.isdigit() else None
        self._descriptor = descriptor
        return os.getpid()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on `path` for a block, waiting as long as another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
