"""The parts of the stack: how their starts are told, where they log, and how one fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runfold.schemas.errors import RunfoldError

Step = Callable[[str], "StepDone"]
"""Called at the begin of a step with what is being done; gives what to call at its end."""
StepDone = Callable[[str], None]
"""Called at the end of a step with what came of it."""

KILLED = 128
"""An exit code of this and more means ended by a signal."""
_LOG_KEPT_BYTES = 10 * 1024 * 1024
_LINES = 15
_NOISE = ("nanobind: ", " - leaked ", " - ... skipped", "See https://nanobind")
"""What DuckDB's bindings say when a process ends that has used them, some 50 lines."""


class PartFailed(RunfoldError):
    """A part of the stack ended by itself; the message has the end of its log."""

    code = "part_failed"


def make_room(log: Path) -> None:
    """Make the folder of a log, and put a log that is large aside."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def last_words(path: Path) -> str:
    """Return the error that a command's log ends with, else its last lines."""
    said = tail_of(path, 10 * _LINES).splitlines()
    lines = [line for line in said if not line.startswith(_NOISE)][-_LINES:]
    errors = [at for at, line in enumerate(lines) if line.startswith("error: ")]
    return "\n".join(lines[errors[-1] :] if errors else lines)


def tail_of(path: Path, lines: int) -> str:
    """Return the last lines of a log file."""
    with suppress(FileNotFoundError):
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
    return f"(no log at {path})"
