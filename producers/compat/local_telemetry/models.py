"""What the client writes down: runs, events, and the rows of a sheet.

The order of the fields is the order in the NDJSON files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

SCHEMA_VERSION = 7


def _new_event_id() -> str:
    return str(uuid4())


@dataclass
class RunRecord:
    """One run of an agent. Shape: times are ISO 8601 texts; `event_id` is what identifies it."""

    run_id: str
    agent_name: str
    job_type: str
    trigger_type: str
    start_time: str
    event_id: str = field(default_factory=_new_event_id)
    schema_version: int = SCHEMA_VERSION
    agent_owner: str | None = None
    end_time: str | None = None
    status: str = "running"
    items_discovered: int = 0
    items_succeeded: int = 0
    items_failed: int = 0
    items_skipped: int = 0
    duration_ms: int = 0
    input_summary: str | None = None
    output_summary: str | None = None
    source_ref: str | None = None
    target_ref: str | None = None
    error_summary: str | None = None
    error_details: str | None = None
    metrics_json: Any = None
    context_json: Any = None
    insight_id: str | None = None
    product: str | None = None
    platform: str | None = None
    product_family: str | None = None
    subdomain: str | None = None
    website: str | None = None
    website_section: str | None = None
    item_name: str | None = None
    git_repo: str | None = None
    git_branch: str | None = None
    git_run_tag: str | None = None
    git_commit_hash: str | None = None
    git_commit_source: str | None = None
    git_commit_author: str | None = None
    git_commit_timestamp: str | None = None
    host: str | None = None
    environment: str | None = None
    api_posted: int = 0
    api_posted_at: str | None = None
    api_retry_count: int = 0
    parent_run_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, and that this is a `run`."""
        return {**asdict(self), "record_type": "run"}

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), default=str)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the record of a dictionary; names that are no fields are left out."""
        return cls(**{name: value for name, value in data.items() if name in RUN_FIELDS})


RUN_FIELDS = tuple(each.name for each in fields(RunRecord))


@dataclass
class RunEvent:
    """Something that happened in a run. Shape: `payload_json` is a JSON text."""

    run_id: str
    event_type: str
    timestamp: str
    payload_json: str | None = None
    id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, and that this is an `event`."""
        return {**asdict(self), "record_type": "event"}

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), default=str)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the event of a dictionary; names that are no fields are left out."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in names})


@dataclass
class APIPayload:
    """One row for the external API: the part of a run that it takes."""

    run_id: str
    agent_name: str
    job_type: str
    trigger_type: str
    start_time: str
    status: str
    agent_owner: str | None = None
    end_time: str | None = None
    items_discovered: int = 0
    items_succeeded: int = 0
    items_failed: int = 0
    duration_ms: int = 0
    error_summary: str | None = None
    product: str | None = None
    platform: str | None = None
    product_family: str | None = None
    subdomain: str | None = None
    website: str | None = None
    website_section: str | None = None
    item_name: str | None = None
    git_repo: str | None = None
    git_branch: str | None = None
    git_commit_hash: str | None = None
    git_commit_source: str | None = None
    git_commit_author: str | None = None
    git_commit_timestamp: str | None = None
    host: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), default=str)

    @classmethod
    def from_run_record(cls, record: RunRecord) -> Self:
        """Return the row of a run."""
        return cls(**{each.name: getattr(record, each.name) for each in fields(cls)})


def generate_run_id(agent_name: str) -> str:
    """Return a new run id, `20251210T120530Z-<agent>-<8 hexadecimal digits>`, in UTC."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{agent_name}-{uuid4().hex[:8]}"


def get_iso8601_timestamp() -> str:
    """Return the time now as `2025-12-10T12:05:30.123456+00:00`."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def calculate_duration_ms(start_time_str: str, end_time_str: str) -> int:
    """Return the whole milliseconds between two ISO 8601 times; negative where they are swapped.

    Raises: ValueError where one of them is no such time, or only one has a zone.
    """
    try:
        elapsed = datetime.fromisoformat(end_time_str) - datetime.fromisoformat(start_time_str)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"Failed to calculate duration: {error}") from error
    return int(elapsed / timedelta(milliseconds=1))
