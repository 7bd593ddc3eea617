"""What an import came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runfold.producers.importers.local_telemetry.sources import BadRecord
from runfold.schemas.vocabulary import EventType


@dataclass(slots=True)
class ImportReport:
    """Counts over one import.

    Shape: what was found, whether known already or not, each thing once; `events` of those are
    new, `known` were stored before, `recorded` are records of runs that runfold's own client has
    recorded. `statuses` counts how runs ended.
    """

    files: int = 0
    records: int = 0
    runs: int = 0
    log_events: int = 0
    metrics: int = 0
    commits: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    events: int = 0
    known: int = 0
    recorded: int = 0
    bad_records: list[BadRecord] = field(default_factory=list)

    def add_found(self, event: Mapping[str, Any]) -> None:
        """Count one event, new or known."""
        kind = event["event_type"]
        self.runs += kind == EventType.RUN_STARTED.value
        self.log_events += kind == EventType.CUSTOM.value
        self.metrics += kind == EventType.METRIC_RECORDED.value
        self.commits += kind == EventType.COMMIT_ASSOCIATED.value
        if kind == EventType.RUN_ENDED.value:
            self.statuses[event["status"]] += 1
