"""What a worker says of itself, in a file that `up` and `status` read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runfold.processors.partitions import Progress


class StatusFile:
    """Writes a worker's progress to one file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, progress: Progress) -> None:
        """Write `progress`; called by the worker after each flush."""
        text = json.dumps(
            {
                "pid": os.getpid(),
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
