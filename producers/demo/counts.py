"""What a reader of the demo's events has to arrive at, counted without the fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runfold.schemas.run_state import TOKEN_FIELDS
from runfold.schemas.vocabulary import EventType, RunStatus


@dataclass(slots=True)
class FleetCounts:
    """Counts over all records of a fleet.

    Shape: `tokens` by field name. Units: `cost_usd` US dollars.
    """

    records: int = 0
    duplicates: int = 0
    bad_records: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    _seen: set[str] = field(default_factory=set)
    _status_by_run: dict[str, str] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Events that are no repetition."""
        return len(self._seen)

    @property
    def runs_by_status(self) -> Counter[str]:
        """How many runs end in which status; one without an end is `running`."""
        return Counter(self._status_by_run.values())

    def add_bad(self) -> None:
        """Count a record that is no event."""
        self.records += 1
        self.bad_records += 1

    def add(self, event: Mapping[str, Any]) -> None:
        """Count one event."""
        self.records += 1
        if event["event_id"] in self._seen:
            self.duplicates += 1
            return
        self._seen.add(event["event_id"])
        self.tokens.update({name: event[name] for name in TOKEN_FIELDS if name in event})
        self.cost_usd += event.get("cost_usd", 0.0)
        self._status_by_run.setdefault(event["run_id"], RunStatus.RUNNING.value)
        if event["event_type"] == EventType.RUN_ENDED.value:
            self._status_by_run[event["run_id"]] = str(event["status"])
