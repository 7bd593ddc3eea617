"""What an import came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runfold.producers.importers.lines import BadLine
from runfold.schemas.run_state import TOKEN_FIELDS
from runfold.schemas.vocabulary import EventType

TURN_STARTED = "turn.started"


@dataclass(slots=True)
class ImportReport:
    """Counts over one import.

    Shape: what was found in the transcripts, whether known already or not, each thing once;
    `events` of those are new and `known` were stored before. `pending_calls` are model calls that
    were still being written. Units: `read_bytes` bytes; `cost_usd` US dollars.
    """

    files: int = 0
    read_bytes: int = 0
    lines: int = 0
    sessions: int = 0
    subagents: int = 0
    turns: int = 0
    tool_calls: int = 0
    model_calls: int = 0
    pending_calls: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    events: int = 0
    known: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    other_lines: Counter[str] = field(default_factory=Counter)

    def add_found(self, event: Mapping[str, Any]) -> None:
        """Count one event, new or known."""
        kind = event["event_type"]
        if kind == EventType.TOOL_STARTED.value:
            self.tool_calls += 1
        elif kind == EventType.CUSTOM.value and event["name"] == TURN_STARTED:
            self.turns += 1
        elif kind == EventType.LLM_CALLED.value:
            self.model_calls += 1
            self.tokens.update({name: event[name] for name in TOKEN_FIELDS if event.get(name)})
            self.cost_usd += event.get("cost_usd") or 0.0
