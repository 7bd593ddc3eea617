"""Runs in an SQLite file of the replaced service's shape, for tools that read or write one."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from runfold.producers.compat.local_telemetry.commits import refusal_of_commit
from runfold.producers.compat.local_telemetry.models import (
    RUN_FIELDS,
    RunRecord,
    get_iso8601_timestamp,
)
from runfold.producers.compat.local_telemetry.schema import create_schema

_WAIT_SECONDS = 5.0
_RETRY_SECONDS = (0.1, 0.2, 0.4)


class DatabaseWriter:
    """Writes and reads runs of one file, which is made at the first write; no method raises.

    Shape: what writes returns whether it did, and a message.
    """

    def __init__(self, database_path: Path | str, max_retries: int = 3) -> None:
        self.database_path = Path(database_path)
        self.max_retries = max_retries

    def insert_run(self, record: RunRecord) -> tuple[bool, str]:
        """Add a run."""
        values = _values(record)
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        return self._write(f"INSERT INTO agent_runs ({names}) VALUES ({marks})", values)

    def update_run(self, record: RunRecord) -> tuple[bool, str]:
        """Bring a run up to date, found by its `run_id`."""
        values = {**_values(record), "updated_at": get_iso8601_timestamp()}
        keys = {"run_id", "event_id", "created_at", "schema_version"}
        changes = ", ".join(f"{name} = :{name}" for name in values if name not in keys)
        return self._write(f"UPDATE agent_runs SET {changes} WHERE run_id = :run_id", values)

    def get_run(self, run_id: str) -> RunRecord | None:
        """Return a run, None where there is none."""
        found = self._read("SELECT * FROM agent_runs WHERE run_id = ?", (run_id,))
        return RunRecord.from_dict(found[0]) if found else None

    def mark_api_posted(self, run_id: str, posted_at: str) -> tuple[bool, str]:
        """Note that a run was posted."""
        return self._write(
            "UPDATE agent_runs SET api_posted = 1, api_posted_at = :at WHERE run_id = :run_id",
            {"at": posted_at, "run_id": run_id},
        )

    def increment_api_retry_count(self, run_id: str) -> tuple[bool, str]:
        """Note one more try to post a run."""
        return self._write(
            "UPDATE agent_runs SET api_retry_count = api_retry_count + 1 WHERE run_id = :run_id",
            {"run_id": run_id},
        )

    def get_pending_api_posts(self, limit: int = 100) -> list[RunRecord]:
        """Return runs that have ended and were not posted, the newest first."""
        found = self._read(
            "SELECT * FROM agent_runs WHERE api_posted = 0 AND status <> 'running' "
            "ORDER BY start_time DESC LIMIT ?",
            (limit,),
        )
        return [RunRecord.from_dict(each) for each in found]

    def associate_commit(
        self,
        run_id: str,
        commit_hash: str,
        commit_source: str,
        commit_author: str | None = None,
        commit_timestamp: str | None = None,
    ) -> tuple[bool, str]:
        """Say which commit a run made."""
        refusal = refusal_of_commit(commit_hash, commit_source)
        if refusal is not None:
            return False, refusal
        if self.get_run(run_id) is None:
            return False, f"[FAIL] Run not found: {run_id}"
        written, message = self._write(
            "UPDATE agent_runs SET git_commit_hash = :hash, git_commit_source = :source, "
            "git_commit_author = :author, git_commit_timestamp = :at WHERE run_id = :run_id",
            {
                "hash": commit_hash,
                "source": commit_source,
                "author": commit_author,
                "at": commit_timestamp,
                "run_id": run_id,
            },
        )
        return written, "[OK] Commit associated successfully" if written else message

    def check_integrity(self, quick: bool = True) -> tuple[bool, str]:
        """Ask SQLite whether the file is sound."""
        check = "quick_check" if quick else "integrity_check"
        if not self.database_path.exists():
            return False, "[FAIL] Database file does not exist"
        found = self._read(f"PRAGMA {check}")
        said = str(next(iter(found[0].values()))) if found else "cannot be read"
        return said == "ok", f"[{'OK' if said == 'ok' else 'FAIL'}] {check}: {said}"

    def checkpoint_wal(self, mode: str = "PASSIVE") -> tuple[bool, str]:
        """Bring a write-ahead log into the file: PASSIVE, FULL, RESTART or TRUNCATE."""
        if mode not in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
            return False, f"[FAIL] no such mode: {mode}"
        return self._write(f"PRAGMA wal_checkpoint({mode})", {})

    def get_run_stats(self) -> dict[str, Any]:
        """Return how many runs there are, by status, and not posted."""
        found = self._read("SELECT status, api_posted FROM agent_runs")
        statuses = [each["status"] for each in found]
        return {
            "total_runs": len(found),
            "status_counts": {each: statuses.count(each) for each in dict.fromkeys(statuses)},
            "pending_api_posts": sum(
                not each["api_posted"] and each["status"] != "running" for each in found
            ),
        }

    def _write(self, statement: str, values: dict[str, Any]) -> tuple[bool, str]:
        problem = ""
        for attempt in range(self.max_retries):
            try:
                if not self.database_path.exists():
                    create_schema(self.database_path)
                with self._connection() as connection, connection:
                    connection.execute(statement, values)
                return True, "[OK] Database write successful"
            except (OSError, sqlite3.Error) as error:
                problem = str(error)
                if "locked" not in problem and "busy" not in problem:
                    return False, f"[FAIL] Database error: {problem}"
                time.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
        return False, f"[FAIL] Database error after {self.max_retries} tries: {problem}"

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        if not self.database_path.exists():
            return []
        try:
            with self._connection() as connection:
                connection.row_factory = sqlite3.Row
                return [dict(row) for row in connection.execute(statement, values)]
        except sqlite3.Error:
            return []

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.database_path, timeout=_WAIT_SECONDS)) as connection:
            yield connection


def _values(record: RunRecord) -> dict[str, Any]:
    """Return the columns of a run; objects as JSON, and no nulls where the table has a default."""
    values = {name: getattr(record, name) for name in RUN_FIELDS}
    for name in ("metrics_json", "context_json"):
        if values[name] is not None and not isinstance(values[name], str):
            values[name] = json.dumps(values[name], default=str)
    return {name: value for name, value in values.items() if value is not None}
