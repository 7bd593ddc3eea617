"""The buffer files of the replaced client, for agents that write or send them themselves.

`TelemetryClient` needs none: runfold's journal survives whatever they were for.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from runfold.producers.compat.local_telemetry.http_client import (
    APIError,
    APIUnavailableError,
    APIValidationError,
    HTTPAPIClient,
)
from runfold.producers.local_telemetry_fields import unpacked

logger = logging.getLogger(__name__)

ACTIVE, READY, SYNCED = ".jsonl.active", ".jsonl.ready", ".jsonl.synced"
REJECTED = ".jsonl.rejected"
_SEND_SECONDS = 30
_END_FIELDS = (
    "status", "end_time", "duration_ms", "items_discovered", "items_succeeded", "items_failed",
    "items_skipped", "input_summary", "output_summary", "error_summary", "error_details",
    "metrics_json", "context_json",
)  # fmt: skip


class BufferFile:
    """Appends runs to a file `.jsonl.active`, which becomes `.jsonl.ready` when large or old."""

    def __init__(
        self, buffer_dir: Path | str, max_size_mb: float = 10, max_age_hours: float = 24
    ) -> None:
        self.buffer_dir = Path(buffer_dir)
        self.max_size_bytes = max_size_mb * 1024 * 1024
        self.max_age_seconds = max_age_hours * 3600
        self.buffer_dir.mkdir(parents=True, exist_ok=True)
        active = sorted(
            self.buffer_dir.glob(f"*{ACTIVE}"), key=lambda each: each.stat().st_mtime_ns
        )
        self.current_file: Path | None = active[-1] if active else self._new_file()

    def append(self, event: dict[str, Any]) -> None:
        """Append one run. Raises: OSError, TypeError, ValueError."""
        if self.current_file is not None and self._is_full(self.current_file):
            self.force_rotate()
        if self.current_file is None:
            self.current_file = self._new_file()
        with self.current_file.open("ab") as stream:
            stream.write(f"{json.dumps(event)}\n".encode())

    def force_rotate(self) -> None:
        """Make the active file ready to be sent."""
        if self.current_file is not None and self.current_file.exists():
            self.current_file.rename(_renamed(self.current_file, ACTIVE, READY))
        self.current_file = None

    def _is_full(self, path: Path) -> bool:
        if not path.exists():
            return False
        stat = path.stat()
        age = time.time() - stat.st_mtime
        return stat.st_size >= self.max_size_bytes or age >= self.max_age_seconds

    def _new_file(self) -> Path:
        path = self.buffer_dir / f"telemetry_{datetime.now():%Y%m%d_%H%M%S}{ACTIVE}"
        path.touch()
        return path


class BufferSyncWorker:
    """Sends ready files to a runs API.

    Delivery: at least once; the API knows runs by their `event_id`. A run that was there already
    is brought to its end by a PATCH. A run that the API refuses is moved to a file
    `.jsonl.rejected` with the reason, and its neighbours are sent.
    """

    def __init__(self, buffer_dir: Path | str, api_url: str, batch_size: int = 100) -> None:
        self.buffer_dir = Path(buffer_dir)
        self.api_url = api_url.rstrip("/")
        self.batch_size = batch_size
        self._api = HTTPAPIClient(api_url, timeout=_SEND_SECONDS, max_retries=1)

    def sync_all_ready_files(self) -> dict[str, Any]:
        """Send all ready files; return what came of it."""
        totals: dict[str, Any] = {
            "files_processed": 0,
            "total_sent": 0,
            "total_duplicates": 0,
            "errors": [],
        }
        for path in sorted(self.buffer_dir.glob(f"*{READY}")):
            try:
                done = self.sync_file(path)
            except OSError as error:
                totals["errors"].append(f"{path.name}: {error}")
                continue
            totals["files_processed"] += 1
            totals["total_sent"] += done["sent"]
            totals["total_duplicates"] += done["duplicates"]
        return totals

    def sync_file(self, file_path: Path) -> dict[str, int]:
        """Send one file; it stays ready where the API does not answer. Raises: OSError."""
        runs = [_cleaned(run) for run in _runs_in(file_path)]
        counts = {"sent": 0, "duplicates": 0}
        refused: list[dict[str, Any]] = []
        try:
            for first in range(0, len(runs), self.batch_size):
                batch = runs[first : first + self.batch_size]
                done, bad = self._send(batch)
                refused += bad
                counts["sent"] += len(batch) - len(bad)
                counts["duplicates"] += done
        except (APIError, APIUnavailableError) as error:
            logger.warning("%s stays ready: %s", file_path.name, error)
            return counts
        if refused:
            lines = "".join(f"{json.dumps(each)}\n" for each in refused)
            _renamed(file_path, READY, REJECTED).write_text(lines, "utf-8")
        file_path.rename(_renamed(file_path, READY, SYNCED))
        return counts

    def _send(self, batch: list[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
        """Return how many the API knew already, and those that it refuses."""
        try:
            answer = self._api.post_batch(batch)
        except APIValidationError as error:
            if len(batch) == 1:
                return 0, [{"reason": str(error), "run": batch[0]}]
            parts = [self._send([each]) for each in batch]
            return sum(part[0] for part in parts), [bad for part in parts for bad in part[1]]
        if answer["duplicates"]:
            for run in batch:
                if run.get("end_time"):
                    self._end(run)
        for message in answer["errors"]:
            logger.warning("the API kept out: %s", message)
        reasons = {str(each).partition(":")[0]: str(each) for each in answer["errors"]}
        bad = [
            {"reason": reasons[run["event_id"]], "run": run}
            for run in batch
            if run["event_id"] in reasons
        ]
        return int(answer["duplicates"]), bad

    def _end(self, run: dict[str, Any]) -> None:
        update = {name: run[name] for name in _END_FIELDS if run.get(name) is not None}
        self._api.patch_event(run["event_id"], update)


def _runs_in(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            run = json.loads(line)
        except ValueError as error:
            logger.warning("%s:%d: not JSON: %s", path, number, error)
            continue
        if isinstance(run, dict) and run.get("event_id"):
            yield run
        else:
            logger.warning("%s:%d: no event_id", path, number)


def _cleaned(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run as the API takes it: without nulls, and with objects instead of their texts."""
    kept = {name: value for name, value in run.items() if value is not None}
    for name in ("metrics_json", "context_json"):
        if name in kept:
            kept[name] = unpacked(kept[name])
    return kept


def _renamed(path: Path, old: str, new: str) -> Path:
    return path.with_name(path.name.removesuffix(old) + new)
