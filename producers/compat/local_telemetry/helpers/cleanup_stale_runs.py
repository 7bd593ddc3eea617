"""Ending old runs of an agent through the runs API.

Runs that runfold records need none of this: a run that goes silent is shown as orphaned.
"""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from runfold.producers.compat.local_telemetry.http_posting import Answer, Unreachable, send

logger = logging.getLogger(__name__)

_DEFAULT_URL = "http://localhost:8765"
_MOST_RUNS = 1000


def cleanup_stale_runs(
    api_url: str,
    agent_name: str,
    stale_threshold_hours: float = 1,
    status_to_check: str = "running",
    cleanup_status: str = "cancelled",
    auth_token: str | None = None,
    timeout: float = 30,
) -> dict[str, Any]:
    """End runs of an agent that were created long ago and still have a status; return the counts.

    Shape: at most 1,000 runs for each call. Units: `timeout` in seconds for each request.
    """
    result: dict[str, Any] = {
        "found": 0, "cleaned": 0, "failed": 0, "errors": [], "stale_runs": []
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {auth_token}"} if auth_token else {}
    created_before = datetime.now(UTC) - timedelta(hours=stale_threshold_hours)
    query = urlencode(
        {
            "agent_name": agent_name,
            "status": status_to_check,
            "created_before": created_before.isoformat(),
            "limit": _MOST_RUNS,
        }
    )
    runs_url = f"{api_url.rstrip('/')}/api/v1/runs"
    try:
        answer = send("GET", f"{runs_url}?{query}", headers=headers, timeout_seconds=timeout)
        runs = _json_of(answer)
    except (Unreachable, ValueError) as error:
        result["errors"].append(f"Failed to query stale runs: {error}")
        return result
    result["stale_runs"] = runs
    result["found"] = len(runs)
    for run in runs:
        try:
            url = f"{runs_url}/{_event_id(run)}"
            update = _update(run, cleanup_status)
            _json_of(send("PATCH", url, content=update, headers=headers, timeout_seconds=timeout))
            result["cleaned"] += 1
        except (Unreachable, ValueError) as error:
            result["failed"] += 1
            result["errors"].append(f"Failed to update run {run.get('event_id')}: {error}")
    return result


def cleanup_on_startup(
    api_url: str = _DEFAULT_URL,
    agent_name: str | None = None,
    stale_threshold_hours: float = 1,
    auth_token: str | None = None,
) -> bool:
    """End old runs of an agent; say whether none is left that could not be ended. Never raises."""
    if not agent_name:
        logger.error("agent_name is required for cleanup")
        return False
    try:
        result = cleanup_stale_runs(
            api_url, agent_name, stale_threshold_hours, auth_token=auth_token
        )
    except Exception:
        logger.exception("cleanup has failed")
        return False
    for each in result["errors"]:
        logger.warning("cleanup: %s", each)
    logger.info("cleanup: %d of %d runs ended", result["cleaned"], result["found"])
    return bool(result["failed"] == 0)


def _json_of(answer: Answer) -> Any:
    if answer.status != 200:
        raise ValueError(f"HTTP {answer.status}: {answer.text}")
    return answer.json()


def _event_id(run: dict[str, Any]) -> str:
    event_id = run.get("event_id")
    if not event_id:
        raise ValueError(f"run {run.get('run_id')} has no event_id")
    return str(event_id)


def _update(run: dict[str, Any], status: str) -> dict[str, Any]:
    return {
        "status": status,
        "end_time": datetime.now(UTC).isoformat(),
        "error_summary": f"Stale run cleaned up on startup (created at {run.get('created_at')})",
        "output_summary": f"Process did not complete - marked as {status} on restart",
    }


def main() -> None:
    """End old runs from the command line; exit with 1 where one could not be ended."""
    parser = argparse.ArgumentParser(description="End stale runs of an agent")
    parser.add_argument("--api-url", default=_DEFAULT_URL)
    parser.add_argument("--agent-name", required=True)
    parser.add_argument("--stale-threshold-hours", type=int, default=1)
    parser.add_argument("--auth-token")
    given = parser.parse_args()
    ended = cleanup_on_startup(
        given.api_url, given.agent_name, given.stale_threshold_hours, given.auth_token
    )
    sys.exit(0 if ended else 1)


if __name__ == "__main__":
    main()
