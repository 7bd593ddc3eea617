"""The Local Telemetry client's calls over runfold's own client."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from runfold.producers.client import Client
from runfold.producers.compat.local_telemetry.buffer import BufferFile
from runfold.producers.compat.local_telemetry.commits import refusal_of_commit
from runfold.producers.compat.local_telemetry.config import (
    DEFAULT_API_URL,
    TelemetryConfig,
    report_problems,
)
from runfold.producers.compat.local_telemetry.console import say
from runfold.producers.compat.local_telemetry.git_detector import GitDetector
from runfold.producers.compat.local_telemetry.http_client import HTTPAPIClient
from runfold.producers.compat.local_telemetry.local import NDJSONWriter
from runfold.producers.compat.local_telemetry.models import (
    RUN_FIELDS,
    APIPayload,
    RunEvent,
    RunRecord,
    get_iso8601_timestamp,
)
from runfold.producers.compat.local_telemetry.records import fill_gaps, finish, set_fields
from runfold.producers.compat.local_telemetry.run_context import RunContext
from runfold.producers.compat.local_telemetry.run_ids import RunIdMetrics, error_id
from runfold.producers.compat.local_telemetry.run_log import RunLog
from runfold.producers.compat.local_telemetry.sheet_posts import SheetPosts, sheets_client
from runfold.producers.tame import message_of

logger = logging.getLogger(__name__)

_CANCELLING = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
_BUFFER_DIR = "./telemetry_buffer"


class TelemetryClient:
    """Records runs of agents by the calls of the Local Telemetry client; no method raises.

    Delivery: as runfold's own client, see there: an event is in a journal on this machine when the
    call returns. Posts to a sheet go out in the background. NDJSON files are written where
    `config.write_ndjson` asks for them.
    """

    def __init__(
        self, config: TelemetryConfig | None = None, *, recorder: Client | None = None
    ) -> None:
        """Take the settings of the environment where none are given.

        Shape: `recorder` is runfold's client to record with, by default one for the process.
        """
        self.config = TelemetryConfig.from_env() if config is None else config
        report_problems(self.config)
        self.http_api = HTTPAPIClient(self.config.api_url or DEFAULT_API_URL)
        self.api_client = sheets_client(self.config)
        self._sheet_posts = SheetPosts(self.api_client) if self.api_client else None
        self.database_writer: Any = None
        self.run_id_metrics = RunIdMetrics()
        self.git_detector = GitDetector()
        self._active_runs: dict[str, RunRecord] = {}
        self._log = RunLog(recorder, self.git_detector.working_dir)

    @cached_property
    def ndjson_writer(self) -> NDJSONWriter:
        """What writes the NDJSON files."""
        return NDJSONWriter(self.config.ndjson_dir)

    @cached_property
    def buffer(self) -> BufferFile:
        """The buffer that the replaced client kept beside itself; nothing here writes to it."""
        return BufferFile(_BUFFER_DIR)

    def start_run(
        self, agent_name: str, job_type: str, trigger_type: str = "cli", **kwargs: Any
    ) -> str:
        """Start a run and return its id; an id that begins with `error-` where that fails.

        Shape: `kwargs` are fields of `RunRecord`, and `run_id` for an id of the caller's own.
        """
        custom = kwargs.pop("run_id", None)
        try:
            run_id = self.run_id_metrics.choose(custom, agent_name, self._active_runs)
            record = RunRecord(
                run_id, agent_name, job_type, trigger_type, get_iso8601_timestamp(), **kwargs
            )
            fill_gaps(record, kwargs, self.config, self.git_detector.get_git_context())
            self._log.started(record)
            self._active_runs[run_id] = record
            now = record.start_time
            self._write_ndjson(lambda: replace(record, created_at=now, updated_at=now).to_dict())
        except Exception as error:  # noqa: BLE001  nothing may reach the agent
            say(f"[ERROR] Telemetry start_run failed: {message_of(error)}")
            return error_id(custom, agent_name)
        return run_id

    def end_run(self, run_id: str, status: str = "success", **kwargs: Any) -> None:
        """End a run. Shape: `kwargs` are fields of `RunRecord`; other names are ignored."""
        try:
            record = self._active_runs.pop(run_id, None)
            if record is None:
                say(f"[WARN] Run ID not found: {run_id}")
                return
            finish(record, status, kwargs)
            self._log.ended(record)
            self._write_ndjson(lambda: replace(record, created_at=None, updated_at=None).to_dict())
            if self._sheet_posts is not None:
                self._sheet_posts.put(APIPayload.from_run_record(record))
        except Exception as error:  # noqa: BLE001  nothing may reach the agent
            say(f"[ERROR] Telemetry end_run failed: {message_of(error)}")

    def update_run(self, record: RunRecord, changes: Mapping[str, Any]) -> None:
        """Set fields of a run that goes on; names that are no fields are warned of and ignored."""
        try:
            for name in changes.keys() - set(RUN_FIELDS):
                logger.warning("set_metrics() ignoring unknown kwarg: %s", name)
            self._log.updated(record, set_fields(record, changes))
        except Exception as error:  # noqa: BLE001  nothing may reach the agent
            logger.warning("set_metrics failed: %s", message_of(error))

    def log_event(
        self, run_id: str, event_type: str, payload: dict[str, Any] | None = None
    ) -> None:
        """Record something that happened in a run, as an event `custom` of that name."""
        try:
            self._log.event(run_id, event_type, payload)
            self._write_ndjson(lambda: _event_line(run_id, event_type, payload))
        except Exception as error:  # noqa: BLE001  nothing may reach the agent
            say(f"[WARN] Telemetry log_event failed: {message_of(error)}")

    @contextmanager
    def track_run(
        self, agent_name: str, job_type: str, trigger_type: str = "cli", **kwargs: Any
    ) -> Iterator[RunContext]:
        """Start a run for a `with` block and end it behind: as a failure where the block raises.

        Shape: KeyboardInterrupt, SystemExit and cancellation end it as cancelled. Runs that are
        started in the block have it as their parent.
        """
        run_id = self.start_run(agent_name, job_type, trigger_type, **kwargs)
        record = self._active_runs.get(run_id)
        scope = self._log.scope_of(run_id) if record is not None else None
        if scope is not None:
            scope.enter()
        try:
            yield RunContext(run_id, record, self)
        except BaseException as error:
            if record is not None:
                status = "cancelled" if isinstance(error, _CANCELLING) else "failure"
                summary = f"{type(error).__name__}: {message_of(error)}"
                self.end_run(run_id, status, error_summary=summary)
            raise
        else:
            if record is not None:
                self.end_run(run_id)
        finally:
            if scope is not None:
                scope.leave()

    def associate_commit(
        self,
        run_id: str,
        commit_hash: str,
        commit_source: str,
        commit_author: str | None = None,
        commit_timestamp: str | None = None,
    ) -> tuple[bool, str]:
        """Say which commit a run of this client made, while it runs or after it has ended."""
        try:
            if not self._log.knows(run_id):
                return False, f"[ERROR] Run ID not found: {run_id}"
            refusal = refusal_of_commit(commit_hash, commit_source)
            if refusal is not None:
                return False, refusal
            commit = {
                "git_commit_hash": commit_hash,
                "git_commit_source": commit_source,
                "git_commit_author": commit_author,
                "git_commit_timestamp": commit_timestamp,
            }
            self._log.commit(run_id, commit)
            record = self._active_runs.get(run_id)
            if record is not None:
                set_fields(record, commit)
        except Exception as error:  # noqa: BLE001  nothing may reach the agent
            return False, f"[ERROR] Commit association failed: {message_of(error)}"
        return True, "[OK] Commit associated successfully"

    def get_run_id_metrics(self) -> dict[str, Any]:
        """Return how many run ids were the caller's, generated, refused or doubled."""
        return self.run_id_metrics.report()

    def log_run_id_metrics(self) -> None:
        """Write `get_run_id_metrics` to the log as JSON."""
        logger.info("run_id metrics: %s", json.dumps(self.get_run_id_metrics()))

    def get_stats(self) -> dict[str, Any]:
        """Return the server's totals where one answers at `config.api_url`, and the run-id metrics.

        Units: waits at most 5 s for the server.
        """
        served = self.http_api.get_metrics() or {}
        totals = {
            name: served.get(name, empty)
            for name, empty in (("total_runs", 0), ("agents", {}), ("recent_24h", 0))
            if served
        }
        return {**totals, **self.get_run_id_metrics()}

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all is in the log and posted to the sheet; say whether it is.

        Units: `timeout` in seconds, for each of the two.
        """
        posted = self._sheet_posts is None or self._sheet_posts.wait(timeout)
        return self._log.flush(timeout) and posted

    @property
    def _ndjson_asked(self) -> bool:
        return getattr(self.config, "write_ndjson", True)

    def _write_ndjson(self, make_line: Callable[[], dict[str, Any]]) -> None:
        if not self._ndjson_asked:
            return
        try:
            written, message = self.ndjson_writer.append(make_line())
        except Exception as error:  # noqa: BLE001  any object may be in the record
            written, message = False, f"[FAIL] NDJSON write error: {message_of(error)}"
        if not written:
            logger.warning("%s", message)


def _event_line(run_id: str, event_type: str, payload: Any) -> dict[str, Any]:
    text = json.dumps(payload, default=str) if payload else None
    return RunEvent(run_id, event_type, get_iso8601_timestamp(), text).to_dict()
