"""The event: one immutable fact about a run, in one flat record."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact about one run.

    Shape: flat; every field beyond the first four may be absent. `attributes` is a JSON object as
    text and holds all that has no field of its own.
    Units: `occurred_at` and `recorded_at` microseconds since 1970 UTC; `duration_ms` milliseconds;
    `cost_usd` US dollars; tokens and items are counts. Tokens and cost are increments: what this
    one fact added.
    """

    event_id: str
    run_id: str
    event_type: str
    occurred_at: int

    name: str | None = None
    parent_run_id: str | None = None
    session_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None

    agent_name: str | None = None
    agent_owner: str | None = None
    agent_version: str | None = None
    job_type: str | None = None
    trigger_type: str | None = None
    project: str | None = None
    environment: str | None = None
    host: str | None = None
    user_id: str | None = None

    status: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    duration_ms: float | None = None

    tool_name: str | None = None
    decision: str | None = None
    decision_reason: str | None = None

    provider: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None

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

    value: float | None = None
    unit: str | None = None

    attributes: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event at its place in the log.

    Units: `recorded_at` microseconds since 1970 UTC, when the log took it.
    """

    event: Event
    offset: int
    recorded_at: int


EVENT_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Event))
REQUIRED_EVENT_FIELDS = EVENT_FIELDS[:4]

EARLIEST_US = 946_684_800_000_000
"""The begin of the year 2000 UTC: an event that says it happened before is none."""
LATEST_US = 7_258_118_400_000_000
"""The begin of the year 2200 UTC: an event that says it happens after is none."""
