"""What an export has done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class ExportCounts:
    """What one or more steps of an export wrote.

    Shape: `records` are offsets of the log that were taken over; `rows` has for each table how many
    rows were written. `exported_recorded_at` is when the log took the last event that PostgreSQL
    now has. `reason` says why all of it was exported again, where it was.
    """

    steps: int = 0
    records: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    exported_recorded_at: datetime | None = None
    reason: str | None = None

    def add(self, other: ExportCounts) -> None:
        """Count what another step did as well."""
        self.steps += other.steps
        self.records += other.records
        self.rows.update(other.rows)
        self.exported_recorded_at = other.exported_recorded_at or self.exported_recorded_at
        self.reason = self.reason or other.reason

    def count(self, table: str, rows: int) -> None:
        """Count rows that were written."""
        if rows:
            self.rows[table] += rows

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.records or self.rows)
