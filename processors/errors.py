"""What processors raise beyond the common tree.

RunfoldError
└── RepairFailed  dead_letter  a repair gives no event for one letter
"""

from __future__ import annotations

from typing import ClassVar

from runfold.schemas.errors import Disposition, LogGone, RunfoldError


class RepairFailed(RunfoldError):
    """A repair gives no event for one dead letter; the message says why."""

    code = "repair_failed"
    disposition: ClassVar[Disposition] = "dead_letter"


def log_gone(topic: str, partition: int, needed: int, log_start: int) -> LogGone:
    """Return the error that says which offsets the log no longer holds, and what can be done."""
    return LogGone(
        f"{topic} partition {partition}: offsets {needed} to {log_start - 1} are gone from the "
        f"log, which now begins at {log_start}; retention has passed what the lake holds. "
        "Restore the lake from a backup, or go on without them by `runfold accept loss`; "
        "and lengthen the topic's retention."
    )


def lake_ahead(topic: str, partition: int, next_offset: int, log_end: int) -> LogGone:
    """Return the error that says that the log has lost records which the lake still has."""
    return LogGone(
        f"{topic} partition {partition}: the lake holds all up to offset {next_offset - 1}, "
        f"but the log ends at {log_end}; the log has lost its last records. "
        "Restore the log, or start a new lake for it."
    )
