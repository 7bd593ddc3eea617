"""The process between runfold and the broker, which stops the broker when runfold is gone.

It is the parent of the Java process and holds one end of a pipe to runfold. When the pipe closes,
because runfold closed it or died in whatever way, it ends Java: SIGTERM first (or another signal
that the command takes for a request to end), so that Kafka writes its log out, SIGKILL when the
grace period is over. A pipe works on every Unix and for every
death of the parent; a parent's death signal is Linux's alone and tied to one thread.

It runs as a script with nothing but the standard library, so that it starts in 20 ms.

Protocol: writes `pid N` to standard output once Java runs, or `error TEXT`. A line `SECONDS` on
standard input sets the grace period and stops Java. Ends with Java's exit code, or 128 + signal.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

_PARENT_CHECK_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the command of the arguments until it ends or the parent wants it gone."""
    arguments = _parse_arguments()
    stop_reader, stop_writer = os.pipe()
    # A stop of the whole process group or service is a stop of the broker.
    signal.signal(signal.SIGTERM, lambda *_: os.write(stop_writer, b"t"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        child = _spawn(arguments.command, arguments.lock_fd, arguments.stop_signal)
    except OSError as error:
        _report(f"error {error}")
        return 127
    _report(f"pid {child.pid}")
    ended_reader, ended_writer = os.pipe()
    threading.Thread(target=_tell_end, args=(child, ended_writer), daemon=True).start()
    ends = (ended_reader, stop_reader)
    grace_seconds = _wait_for_stop(ends, arguments.parent, arguments.grace_seconds)
    return _stop(child, arguments.stop_signal, grace_seconds)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--grace-seconds", type=float, required=True)
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--stop-signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def _report(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _spawn(command: list[str], lock_fd: int, stop_signal: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        # Java holds the lock of its data directory too: it stays locked until Java is gone.
        pass_fds=(lock_fd,),
        # No other thread runs yet, so nothing can be locked between fork and exec.
        preexec_fn=_death_signal(stop_signal),  # noqa: PLW1509
    )


def _death_signal(stop_signal: int) -> Callable[[], None] | None:
    """Return what makes Linux stop Java when this guard itself is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_for_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, stop_signal)

    return ask_for_signal


def _tell_end(child: subprocess.Popen[bytes], ended_writer: int) -> None:
    child.wait()
    os.write(ended_writer, b"e")


def _wait_for_stop(ends: tuple[int, int], parent: int, grace_seconds: float) -> float:
    """Return the grace period once Java ended, a stop was asked for, or the parent is gone."""
    while True:
        ready, _, _ = select.select([0, *ends], [], [], _PARENT_CHECK_SECONDS)
        if 0 in ready:
            line = os.read(0, 64).strip()
            return float(line) if line else grace_seconds
        # A process that was forked off the parent may hold the pipe open after its death.
        if ready or os.getppid() != parent:
            return grace_seconds


def _stop(child: subprocess.Popen[bytes], stop_signal: int, grace_seconds: float) -> int:
    if child.poll() is None:
        child.send_signal(stop_signal)
        child.send_signal(signal.SIGCONT)
        try:
            child.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
