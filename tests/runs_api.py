"""What the tests of the runs API send, and what they compare with."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from runfold.producers.compat.local_telemetry.models import RunRecord

RUNS = "/api/v1/runs"
COLUMNS = [
    "id", "event_id", "run_id", "schema_version", "created_at", "updated_at", "start_time",
    "end_time", "agent_name", "agent_owner", "job_type", "status", "product", "product_family",
    "platform", "subdomain", "website", "website_section", "item_name", "items_discovered",
    "items_succeeded", "items_failed", "items_skipped", "duration_ms", "input_summary",
    "output_summary", "source_ref", "target_ref", "error_summary", "error_details", "git_repo",
    "git_branch", "git_commit_hash", "git_run_tag", "git_commit_source", "git_commit_author",
    "git_commit_timestamp", "host", "environment", "trigger_type", "metrics_json",
    "context_json", "api_posted", "api_posted_at", "api_retry_count", "insight_id",
    "parent_run_id",
]  # fmt: skip
"""The 47 columns of `agent_runs`, in the order in which an answer has them."""


def unique(what: str = "it") -> str:
    """Return a name that no other test uses."""
    return f"{what}-{uuid.uuid4().hex[:12]}"


def minimal(**changes: Any) -> dict[str, Any]:
    """Return the five fields that a run must have, with an id of its own."""
    record = {
        "event_id": unique("event"),
        "run_id": unique("run"),
        "agent_name": "crawler",
        "job_type": "nightly",
        "start_time": "2026-11-20T03:04:05.000006Z",
    }
    return {**record, **changes}


def client_start(**changes: Any) -> dict[str, Any]:
    """Return what the client posts when a run starts: all its fields, and some that are ignored."""
    at = "2026-11-20T03:04:05.000006+00:00"
    record = RunRecord(
        run_id=unique("run"), agent_name="crawler", job_type="nightly", trigger_type="cli",
        start_time=at, agent_owner="ops", host="box", created_at=at, updated_at=at,
    )  # fmt: skip
    return {**record.to_dict(), "event_id": unique("event"), **changes}


CLIENT_END = {
    "status": "success",
    "end_time": "2026-11-20T03:14:05.000006+00:00",
    "duration_ms": 600_000,
    "items_discovered": 40,
    "items_succeeded": 39,
    "items_failed": 0,
    "input_summary": "40 pages",
    "output_summary": "39 saved",
    "error_summary": "one was gone",
    "metrics_json": {"pages": 39, "of": {"hosts": 2}},
    "updated_at": "2026-11-20T03:14:05.000007+00:00",
}
"""What the client sends when a run ends."""


class Api:
    """The runs API at one address; a context manager."""

    def __init__(self, url: str, **headers: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60, headers=headers)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *raised: object) -> None:
        self.http.close()

    def post(self, record: Any, path: str = "") -> httpx.Response:
        """Post a run, or to what is below runs."""
        return self.http.post(RUNS + path, json=record)

    def create(self, **changes: Any) -> dict[str, Any]:
        """Create a run and return what was posted."""
        record = minimal(**changes)
        answer = self.post(record)
        assert (answer.status_code, answer.json()["status"]) == (201, "created"), answer.text
        return record

    def patch(self, event_id: str, changes: Any) -> httpx.Response:
        """Change a run."""
        return self.http.patch(f"{RUNS}/{event_id}", json=changes)

    def row(self, event_id: str) -> dict[str, Any]:
        """Return a run."""
        answer = self.http.get(f"{RUNS}/{event_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ids(self, **wanted: Any) -> list[str]:
        """Return the event_ids of a list, in its order."""
        answer = self.http.get(RUNS, params=wanted)
        assert answer.status_code == 200, answer.text
        return [each["event_id"] for each in answer.json()]

    def total(self) -> int:
        """Return how many runs there are."""
        total: int = self.http.get("/metrics").json()["total_runs"]
        return total


def named_fields(answer: httpx.Response) -> list[list[Any]]:
    """Return which fields a 422 names."""
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert all({"type", "loc", "msg", "input", "url"} <= each.keys() for each in detail)
    return [each["loc"] for each in detail]
