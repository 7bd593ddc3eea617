"""The runs of a `TelemetryClient` in runfold's log."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from runfold.producers.client import Client
from runfold.producers.compat.local_telemetry.models import RunRecord
from runfold.producers.context import Place, Scope
from runfold.producers.debug import explain
from runfold.producers.git_context import GitWatch
from runfold.producers.git_context.watch import DIRTY
from runfold.producers.local_telemetry_fields import metrics_of, name_beside, parse_time, run_fields
from runfold.schemas.vocabulary import EventType

_KNOWN_RUNS = 10_000
_SHOWN_AT_END_ONLY = frozenset({"run_id", "event_id", "agent_name", "status", "parent_run_id"})


@cache
def _client_of_process() -> Client:
    return Client()


class RunLog:
    """Records the runs of one `TelemetryClient`, of which it remembers the last 10,000.

    A run id that is used again gets a run of its own: `<run id>~<8 digits>`.
    """

    def __init__(self, client: Client | None, working_dir: str) -> None:
        self._client = client or _client_of_process()
        self._git = GitWatch(working_dir)
        self._places: OrderedDict[str, Place] = OrderedDict()

    def knows(self, run_id: str) -> bool:
        """Say whether this client has started a run of that id."""
        return run_id in self._places

    def name_of(self, run_id: str) -> str:
        """Return the id that a run has in the log."""
        place = self._places.get(run_id)
        return run_id if place is None else place.run_id

    def scope_of(self, run_id: str) -> Scope:
        """Return what makes a run of this client the one that others are started in."""
        return Scope(self._places[run_id])

    def started(self, record: RunRecord) -> None:
        """Record that a run has started."""
        run_id = record.run_id
        name = name_beside(run_id, record.event_id) if run_id in self._places else run_id
        fields = run_fields(_without_zeros(record))
        fields["attributes"] = {**self._checked_out(), **fields.get("attributes", {})}
        if record.status != "running":
            fields["status"] = record.status
        parent = record.parent_run_id
        fields["occurred_at"] = parse_time(record.start_time)
        outer = self.name_of(parent) if parent else None
        trace_id = self._client.begin_run(name, record.agent_name, outer, fields)
        self._places[run_id] = Place(name, trace_id or self._client.trace_of(name))
        if len(self._places) > _KNOWN_RUNS:
            self._places.popitem(last=False)

    def updated(self, record: RunRecord, changes: Mapping[str, Any]) -> None:
        """Record what has become known of a run; how it ends is said at its end."""
        fields = run_fields(
            {name: value for name, value in changes.items() if name not in _SHOWN_AT_END_ONLY}
        )
        if fields:
            self._client.event(self.name_of(record.run_id), EventType.RUN_UPDATED.value, **fields)

    def event(self, run_id: str, event_type: str, payload: Any) -> None:
        """Record something that happened in a run."""
        self._client.event(
            self.name_of(run_id),
            EventType.CUSTOM.value,
            name=event_type,
            attributes=payload or None,
        )

    def commit(self, run_id: str, commit: Mapping[str, Any]) -> None:
        """Record the commit that a run has made."""
        self._client.event(self.name_of(run_id), EventType.COMMIT_ASSOCIATED.value, **commit)

    def ended(self, record: RunRecord) -> None:
        """Record the metrics of a run and that it has ended."""
        name, at = self.name_of(record.run_id), parse_time(record.end_time)
        self._metrics(name, record.metrics_json, at)
        self._client.end_run(
            name,
            record.status,
            duration_ms=record.duration_ms,
            error_message=record.error_summary,
            occurred_at=at,
            **run_fields(vars(record)),
        )

    def _metrics(self, name: str, metrics_json: Any, at: datetime | None) -> None:
        try:
            metrics = list(metrics_of(metrics_json))
        except Exception as error:  # noqa: BLE001  a mapping of the agent's own
            explain("metrics_json cannot be read", error)
            return
        for metric, value in metrics:
            self._client.event(
                name, EventType.METRIC_RECORDED.value, name=metric, value=value, occurred_at=at
            )

    def flush(self, timeout: float) -> bool:
        """Wait until all is in the log; say whether it is. Units: `timeout` in seconds."""
        return self._client.flush(timeout)

    def _checked_out(self) -> dict[str, Any]:
        """Return what is checked out, as attributes: a commit of the run's own is another one."""
        fields = self._git.fields()
        found = {"git_head": fields.get("git_commit_hash"), DIRTY: fields.get(DIRTY)}
        if "://" in fields.get("git_repo", ""):
            found["git_url"] = fields["git_repo"]
        return {name: value for name, value in found.items() if value is not None}


def _without_zeros(record: RunRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(record).items()
        if not (type(value) is int and value == 0)
    }
