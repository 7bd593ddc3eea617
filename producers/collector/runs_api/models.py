"""What the runs API takes, as pydantic checks it. Unknown names are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

_LARGEST = (1 << 63) - 1

Whole = Annotated[int, Field(ge=-_LARGEST - 1, le=_LARGEST)]
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
CommitSource = Literal["manual", "llm", "ci"]
TextIfAny = Annotated[
    str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)
]
"""A text; anything else is ignored, as the replaced service ignored the name."""


class NewRun(BaseModel):
    """A run as `POST /api/v1/runs` takes it; counts may be negative here, which is told later."""

    event_id: str
    run_id: str
    agent_name: str
    job_type: str
    start_time: str
    created_at: str | None = None
    end_time: str | None = None
    status: str = "running"
    product: str | None = None
    product_family: str | None = None
    platform: str | None = None
    subdomain: str | None = None
    website: str | None = None
    website_section: str | None = None
    item_name: str | None = None
    items_discovered: Whole = 0
    items_succeeded: Whole = 0
    items_failed: Whole = 0
    items_skipped: Whole = 0
    duration_ms: Whole | None = 0
    input_summary: str | None = None
    output_summary: str | None = None
    source_ref: str | None = None
    target_ref: str | None = None
    error_summary: str | None = None
    error_details: str | None = None
    git_repo: str | None = None
    git_branch: str | None = None
    git_commit_hash: str | None = None
    git_run_tag: str | None = None
    git_commit_source: CommitSource | None = None
    git_commit_author: str | None = None
    git_commit_timestamp: str | None = None
    host: str | None = None
    environment: str | None = None
    trigger_type: str | None = None
    metrics_json: dict[str, Any] | None = None
    context_json: dict[str, Any] | None = None
    api_posted: bool = False
    api_posted_at: str | None = None
    api_retry_count: Whole = 0
    insight_id: str | None = None
    parent_run_id: str | None = None
    agent_owner: TextIfAny = None
    updated_at: TextIfAny = None


class RunChange(BaseModel):
    """What `PATCH` may change, in the order in which its answer names it."""

    status: str | None = None
    end_time: str | None = None
    duration_ms: Count | None = None
    error_summary: str | None = None
    error_details: str | None = None
    output_summary: str | None = None
    items_succeeded: Count | None = None
    items_failed: Count | None = None
    items_skipped: Count | None = None
    metrics_json: dict[str, Any] | None = None
    context_json: dict[str, Any] | None = None
    git_commit_source: CommitSource | None = None
    git_commit_author: str | None = None
    git_commit_timestamp: str | None = None
    items_discovered: Count | None = None
    input_summary: str | None = None
    updated_at: TextIfAny = None


class MadeCommit(BaseModel):
    """The commit that a run has made."""

    commit_hash: Annotated[str, Field(min_length=7, max_length=40)]
    commit_source: CommitSource
    commit_author: str | None = None
    commit_timestamp: str | None = None
