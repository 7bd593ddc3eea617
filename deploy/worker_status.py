"""What a worker or collector says of itself: in a file that `up` reads, and when it is asked."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runfold.processors.partitions import Progress

_ANSWER_SECONDS = 3.0


class StatusFile:
    """Writes a worker's progress to one file, replaced as a whole.

    Shape: `listen` is the address that the worker serves HTTP at, None where it serves none.
    """

    def __init__(self, path: Path, listen: str | None = None) -> None:
        self._path = path
        self._listen = listen
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, progress: Progress) -> None:
        """Write `progress`; called by the worker after each flush."""
        text = json.dumps(
            {
                "pid": os.getpid(),
                "listen": self._listen,
                "next_offsets": progress.next_offsets,
                "durable_offsets": progress.durable_offsets,
                "runs_held": progress.runs_held,
                "runs_past": progress.runs_past,
                "records": progress.counts.records,
                "events": progress.counts.events,
                "duplicates": progress.counts.duplicates,
                "dead_letters": progress.counts.dead_letters,
            }
        )
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(text, "utf-8")
        temporary.replace(self._path)


def read_status(path: Path) -> dict[str, Any] | None:
    """Return what the worker of that file said last, None where it has said nothing."""
    try:
        status = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return status if isinstance(status, dict) else None


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a running worker or collector answers.

    Shape: `reasons` has a sentence for each reason why it is not ready; none where it is.
    """

    reasons: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether it is ready."""
        return not self.reasons


def ask_readiness(listen: str) -> Readiness:
    """Ask what serves HTTP at `listen` whether it is ready."""
    try:
        with closing(HTTPConnection(listen, timeout=_ANSWER_SECONDS)) as connection:
            connection.request("GET", "/readyz")
            said = json.load(connection.getresponse())
        reasons = tuple(f"{each['reason']}: {each['message']}" for each in said["reasons"])
    except (OSError, HTTPException, ValueError, LookupError) as error:
        reasons = (f"no answer from {listen}: {error or type(error).__name__}",)
    return Readiness(reasons)
