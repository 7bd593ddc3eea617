"""What an agent holds while `track_run` tracks its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runfold.producers.compat.local_telemetry.client import TelemetryClient
    from runfold.producers.compat.local_telemetry.models import RunRecord


class RunContext:
    """One run that is tracked; no method raises."""

    def __init__(self, run_id: str, record: RunRecord | None, client: TelemetryClient) -> None:
        self.run_id = run_id
        self._record = record
        self._client = client

    def log_event(self, event_type: str, payload: dict[str, Any] | None = None) -> None:
        """Record something that happened; see `TelemetryClient.log_event`."""
        self._client.log_event(self.run_id, event_type, payload)

    def set_metrics(self, **kwargs: Any) -> None:
        """Set fields of the run's record; a name that is none of them is warned of and ignored."""
        if self._record is not None:
            self._client.update_run(self._record, kwargs)
