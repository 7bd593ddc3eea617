"""A child process that cannot outlive this one: runfold's side of `guard`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO

from runfold.deploy.embedded import guard
from runfold.deploy.embedded.errors import KafkaNotRunning

_ORPHAN_GRACE = timedelta(seconds=20)
_POLL_SECONDS = 0.02
_UNGUARDED_SECONDS = 5.0
_STILL = frozenset("tTZX")
"""States of a thread, in /proc, in which it does nothing: stopped, or ended."""


class GuardedChild:
    """A command that runs in a session of its own, below a guard that ends it with this process.

    Ctrl-C in a terminal does not reach it: it ends by `stop`, by `kill`, or when this process is
    gone. It inherits the open file `lock_fd`, so a lock on it lasts as long as the command.
    `stop_signal` is the one that asks the command to end.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: dict[str, str],
        lock_fd: int,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._command = tuple(command)
        self._cwd = cwd
        self._environment = environment
        self._lock_fd = lock_fd
        self._stop_signal = stop_signal
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the command. Errors: KafkaNotRunning."""
        if self._pid is None or self.exit_code() is not None:
            raise KafkaNotRunning("the broker is not running")
        return self._pid

    def start(self, output: IO[bytes]) -> None:
        """Start the command with `output` as its standard output and error.

        Errors: OSError when it cannot be executed.
        """
        # A script path instead of -m: the guard needs no site-packages and starts at once.
        prefix = [sys.executable, "-I", "-S", str(Path(guard.__file__).resolve())]
        options = [
            f"--parent={os.getpid()}",
            f"--grace-seconds={_ORPHAN_GRACE.total_seconds()}",
            f"--lock-fd={self._lock_fd}",
            f"--stop-signal={int(self._stop_signal)}",
        ]
        self._guard = subprocess.Popen(
            [*prefix, *options, "--", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=self._cwd,
            env=self._environment,
            pass_fds=(self._lock_fd,),
            start_new_session=True,
        )
        self._pid = self._read_pid(self._guard)

    def _read_pid(self, started: subprocess.Popen[bytes]) -> int:
        if started.stdout is None:
            raise ValueError("the guard has no output")
        with started.stdout as report:
            word, _, text = report.readline().decode().strip().partition(" ")
        if word == "pid":
            return int(text)
        self._reap(started)
        raise OSError(text or "the guard process ended at once")

    def exit_code(self) -> int | None:
        """Return the exit code of the command (128 + signal when killed), None while it runs."""
        return None if self._guard is None else self._guard.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command. Errors: KafkaNotRunning."""
        os.kill(self.pid, number)

    def freeze(self) -> None:
        """Stop the command's threads, and return when the last one stands still.

        Errors: KafkaNotRunning.
        """
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        while _has_moving_threads(pid):
            time.sleep(_POLL_SECONDS)

    def stop(self, grace: timedelta) -> int | None:
        """Ask the command to end, kill it after `grace`, and return its exit code once it is gone.

        None when it was never started. Safe to repeat.
        """
        if self._guard is None:
            return None
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            # A guard that ended by itself reads no more; there is nothing left to ask of it.
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(f"{grace.total_seconds()}\n".encode())
                self._guard.stdin.flush()
        return self._reap(self._guard)

    def kill(self) -> None:
        """Kill the command with SIGKILL and return when it is gone; nothing if it is not there."""
        if self._guard is not None:
            if self.exit_code() is None:
                self.signal(signal.SIGKILL)
            self._reap(self._guard)

    def _reap(self, ended: subprocess.Popen[bytes]) -> int:
        code = ended.wait()
        if ended.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                ended.stdin.close()
        if code < 0 and self._pid is not None:
            # The guard itself was killed: Linux has told the command to end, others have not.
            self._end_unguarded(self._pid)
        return code

    def _end_unguarded(self, pid: int) -> None:
        # Not for ever: under a container's first process it may stay as a zombie.
        give_up_at = time.monotonic() + _UNGUARDED_SECONDS
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < give_up_at:
                os.kill(pid, signal.SIGKILL)
                time.sleep(_POLL_SECONDS)


def _has_moving_threads(pid: int) -> bool:
    """Tell whether a stopped process has threads that the signal has not reached yet (Linux)."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            state = stat.read_text().rpartition(")")[2].split()[0]
            if state not in _STILL:
                return True
    return False
