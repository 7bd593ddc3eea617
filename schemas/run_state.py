"""The state of one run: what folding its events gives."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.vocabulary import RunStatus


class Stamp(NamedTuple):
    """When a value was set: by event time, then by log order. The greatest stamp wins.

    Units: `occurred_at` microseconds since 1970 UTC.
    """

    occurred_at: int
    offset: int


class MetricValue(NamedTuple):
    """The latest value recorded for one metric of a run."""

    value: float | None
    unit: str | None
    stamp: Stamp


class LastTool(NamedTuple):
    """The latest tool event of a run; `open` until its end was seen."""

    name: str | None
    open: bool
    stamp: Stamp


class LastError(NamedTuple):
    """The latest error event of a run."""

    error_type: str | None
    message: str | None
    stamp: Stamp


@dataclass(slots=True)
class RunState:
    """One run, as of `last_offset` of its partition.

    It is a value: whoever holds one may read it at any time, and only the fold that made it and
    has not given it away may change it (`copy` first, as `fold` does).

    Shape: the profile is what the run says of itself, None where it said nothing. `stamps` say
    when a field was overridden, so that a late update loses against a later one; attributes are
    stamped as `attributes.<key>`.
    Units: times in microseconds since 1970 UTC; cost in billionths of a US dollar, a whole number,
    so that the sum does not depend on how the log was cut into batches.
    """

    run_id: str

    parent_run_id: str | None = None
    session_id: str | None = None
    trace_id: str | None = None
    agent_name: str | None = None
    agent_owner: str | None = None
    agent_version: str | None = None
    job_type: str | None = None
    trigger_type: str | None = None
    project: str | None = None
    environment: str | None = None
    host: str | None = None
    user_id: str | None = None
    provider: str | None = None
    model: str | None = None
    items_discovered: int | None = None
    items_succeeded: int | None = None
    items_failed: int | None = None
    items_skipped: int | None = None
    git_repo: str | None = None
    git_branch: str | None = None
    git_commit_hash: str | None = None
    git_commit_source: str | None = None
    git_commit_author: str | None = None
    git_commit_timestamp: str | None = None

    status: str = RunStatus.RUNNING.value
    error_type: str | None = None
    error_message: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    first_seen_at: int | None = None
    last_seen_at: int | None = None
    first_recorded_at: int | None = None
    last_recorded_at: int | None = None
    first_offset: int = -1
    last_offset: int = -1

    events: int = 0
    tools_started: int = 0
    tools_ended: int = 0
    tools_failed: int = 0
    llm_calls: int = 0
    decisions: int = 0
    errors: int = 0
    heartbeats: int = 0
    unknown_events: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0

    last_tool: LastTool | None = None
    last_error: LastError | None = None
    metrics: dict[str, MetricValue] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    seen: EventIdSet = field(default_factory=EventIdSet)

    def copy(self) -> RunState:
        """Return a state that shares nothing changeable with this one."""
        twin = copy(self)
        twin.metrics = self.metrics.copy()
        twin.attributes = self.attributes.copy()
        twin.stamps = self.stamps.copy()
        twin.seen = self.seen.copy()
        return twin


PROFILE_FIELDS: tuple[str, ...] = tuple(
    each.name
    for each in fields(RunState)[1 : [each.name for each in fields(RunState)].index("status")]
)
"""Fields that a run says of itself: the first `run.started` wins, later updates override.

Nobody overrides the project.
"""

TOKEN_FIELDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
NANO_USD = 1_000_000_000

MOST_TOKENS = 10**12
"""More on one event is a mistake, and is not summed: sums must stay within 64 bits."""
MOST_USD = 100_000.0
"""More on one event is a mistake, and is not summed: sums must stay within 64 bits."""
