"""Keeping a second process from doing what only one may do."""

from __future__ import annotations

import fcntl
import os
import platform
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from runfold.producers.compat.local_telemetry.console import say


class SingleWriterGuard:
    """Holds a lock file that names its process. A lock of a process that died does not count."""

    def __init__(self, lock_file: Path | str) -> None:
        self.lock_file = Path(lock_file)
        self._held: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises: SystemExit(1) where another process has it."""
        self.lock_file.parent.mkdir(parents=True, exist_ok=True)
        stream = self.lock_file.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = " on ".join(stream.read().split()[:2])
            stream.close()
            say("[CRITICAL] Another telemetry API instance is already running")
            say(f"Lock {self.lock_file} held by PID {holder}")
            sys.exit(1)
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n{platform.node()}\n")
        stream.flush()
        self._held = stream

    def release(self) -> None:
        """Give the lock back; safe to repeat."""
        held, self._held = self._held, None
        if held is not None:
            self.lock_file.unlink(missing_ok=True)
            held.close()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
