"""Files as the Local Telemetry client and its service leave them behind, made for tests."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from runfold.producers.compat.local_telemetry.models import RunRecord
from runfold.producers.compat.local_telemetry.schema import TABLES

# The other schema that calls itself version 7: the client library's own.
_LIBRARY_COLUMNS = """
run_id TEXT PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, schema_version INTEGER DEFAULT 7,
agent_name TEXT NOT NULL, agent_owner TEXT, job_type TEXT,
trigger_type TEXT CHECK (trigger_type IN ('cli', 'web', 'scheduler', 'mcp', 'manual')),
start_time TEXT NOT NULL, end_time TEXT, status TEXT,
items_discovered INTEGER DEFAULT 0, items_succeeded INTEGER DEFAULT 0,
items_failed INTEGER DEFAULT 0, duration_ms INTEGER, input_summary TEXT, output_summary TEXT,
error_summary TEXT, metrics_json TEXT, insight_id TEXT, product TEXT, platform TEXT,
product_family TEXT, subdomain TEXT, website TEXT, website_section TEXT, item_name TEXT,
git_repo TEXT, git_branch TEXT, git_run_tag TEXT, git_commit_hash TEXT, git_commit_source TEXT,
git_commit_author TEXT, git_commit_timestamp TEXT, host TEXT, api_posted INTEGER DEFAULT 0,
api_posted_at TEXT, api_retry_count INTEGER DEFAULT 0,
created_at TEXT DEFAULT (datetime('now')), updated_at TEXT DEFAULT (datetime('now'))
"""


def run(number: int, **changes: Any) -> dict[str, Any]:
    """Return the record of a run that has ended, as the client writes it."""
    record = RunRecord(
        run_id=f"20260102T0304{number:02}Z-crawler-{number:08x}",
        agent_name="crawler",
        job_type="crawl",
        trigger_type="cli",
        start_time=f"2026-01-02T03:04:{number:02}.000000+00:00",
        event_id=f"00000000-0000-4000-8000-{number:012x}",
        end_time=f"2026-01-02T03:05:{number:02}.500000+00:00",
        status="success",
        duration_ms=60_500,
        items_succeeded=number,
    )
    return {**record.to_dict(), **changes}


def started(record: dict[str, Any]) -> dict[str, Any]:
    """Return the line that the client wrote when that run began."""
    return {**record, "end_time": None, "status": "running", "duration_ms": 0,
            "items_succeeded": 0, "metrics_json": None}  # fmt: skip


def event(run_id: str, kind: str, at: str, payload: Any = None) -> dict[str, Any]:
    """Return the line of a logged event."""
    return {"run_id": run_id, "event_type": kind, "timestamp": at, "id": None,
            "payload_json": None if payload is None else json.dumps(payload),
            "record_type": "event"}  # fmt: skip


def write_lines(path: Path, records: Iterable[dict[str, Any] | str]) -> Path:
    """Write records as JSON lines; a text as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (each if isinstance(each, str) else json.dumps(each) for each in records)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_database(
    path: Path, records: Iterable[dict[str, Any]], *, library_shape: bool = False
) -> Path:
    """Write runs into a database of the service's shape, or of the client library's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        for name, statement in TABLES.items():
            if library_shape and name == "agent_runs":
                statement = f"CREATE TABLE agent_runs ({_LIBRARY_COLUMNS})"
            connection.execute(statement)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(agent_runs)")}
        for record in records:
            kept = {
                name: json.dumps(value) if isinstance(value, dict) else value
                for name, value in record.items()
                if name in columns and value is not None
            }
            marks = ", ".join("?" * len(kept))
            connection.execute(
                f"INSERT INTO agent_runs ({', '.join(kept)}) VALUES ({marks})", [*kept.values()]
            )
    return path
