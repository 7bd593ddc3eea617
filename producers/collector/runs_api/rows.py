"""The row that a run is in the table `agent_runs`, version 7, and the answer that a row becomes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from runfold.producers.compat.local_telemetry.models import SCHEMA_VERSION
from runfold.producers.compat.local_telemetry.status import CANONICAL_STATUSES
from runfold.producers.compat.local_telemetry.url_builder import build_commit_url, build_repo_url
from runfold.producers.local_telemetry_fields import COUNTS, parse_time, plain_name
from runfold.schemas.run_state import RunState
from runfold.schemas.vocabulary import TERMINAL_STATUSES, RunStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_STATE = (
    "agent_name", "agent_owner", "job_type", "trigger_type", "environment", "host",
    "git_repo", "git_branch", "git_commit_hash", "git_commit_source", "git_commit_author",
    "git_commit_timestamp", "parent_run_id",
)  # fmt: skip
_OF_ATTRIBUTES = (
    "end_time", "product", "product_family", "platform", "subdomain", "website",
    "website_section", "item_name", "input_summary", "output_summary", "source_ref", "target_ref",
    "error_summary", "error_details", "git_run_tag", "metrics_json", "context_json",
    "api_posted_at", "insight_id",
)  # fmt: skip
_JSON = ("metrics_json", "context_json")
_LARGEST = (1 << 63) - 1


def row_of(name: str, event_id: str, state: RunState) -> dict[str, Any]:
    """Return the columns of `agent_runs`, without `id`, of the run that the log calls `name`.

    Shape: total; whatever way a run was recorded, what it says fits the table's checks.
    """
    said = state.attributes
    recorded_at = _moment(state.first_recorded_at)
    row: dict[str, Any] = {column: _text(getattr(state, column)) for column in _OF_STATE}
    row |= {column: _text(said.get(column)) for column in _OF_ATTRIBUTES}
    row |= {column: _count(getattr(state, column)) for column in COUNTS}
    row |= {column: row[column] or None for column in ("git_commit_author", "git_commit_timestamp")}
    return row | {
        "event_id": event_id,
        "run_id": _text(said.get("run_id", plain_name(name, event_id))),
        "schema_version": SCHEMA_VERSION,
        "created_at": _text(said.get("created_at")) or recorded_at.isoformat(),
        "updated_at": _text(said.get("updated_at")) or f"{recorded_at:%Y-%m-%d %H:%M:%S}",
        "start_time": _start_time(state),
        "agent_name": row["agent_name"] or "",
        "job_type": row["job_type"] or "",
        "status": _status(state.status),
        "duration_ms": _count(said.get("duration_ms")),
        "api_posted": int(bool(said.get("api_posted"))),
        "api_retry_count": _count(said.get("api_retry_count")),
    }


def instants_of(row: Mapping[str, Any], state: RunState) -> tuple[int, int]:
    """Return when a row was created and started, in microseconds since 1970 UTC.

    Shape: what is no time is taken for the time at which the log had it.
    """
    recorded_at = state.first_recorded_at or 0
    return (
        instant_of(row["created_at"], recorded_at),
        instant_of(row["start_time"], state.started_at or recorded_at),
    )


def instant_of(text: str, otherwise: int) -> int:
    """Return a time in microseconds since 1970 UTC, `otherwise` where it is none."""
    found = parse_time(text)
    return otherwise if found is None else (found - _EPOCH) // timedelta(microseconds=1)


def answer_of(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row as the API answers it: objects instead of their texts, and two links."""
    answer = dict(row)
    address = _address(answer["git_repo"], answer.pop("git_url"))
    for column in _JSON:
        if answer[column] is not None:
            try:
                orjson.loads(answer[column])
                answer[column] = orjson.Fragment(answer[column])
            except orjson.JSONDecodeError as error:
                answer[f"{column}_parse_error"] = str(error)
    answer["api_posted"] = bool(answer["api_posted"])
    answer["commit_url"] = build_commit_url(address, answer["git_commit_hash"])
    answer["repo_url"] = build_repo_url(address)
    return answer


def _address(git_repo: str | None, git_url: str | None) -> str | None:
    """Return the repository's address: runfold's client has it beside a bare name."""
    return git_url if git_url and build_repo_url(git_repo) is None else git_repo


def _start_time(state: RunState) -> str:
    said = state.attributes.get("start_time")
    if isinstance(said, str):
        return said
    return _moment(state.started_at or state.first_seen_at).isoformat()


def _status(status: str) -> str:
    if status in CANONICAL_STATUSES:
        return status
    ended = status in TERMINAL_STATUSES or status not in set(RunStatus)
    return RunStatus.FAILURE.value if ended else RunStatus.RUNNING.value


def _moment(microseconds: int | None) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds or 0)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= _LARGEST else 0
