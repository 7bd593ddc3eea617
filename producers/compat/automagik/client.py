"""The Automagik SDK's client; docs/compat-automagik.md says what is as before and what better."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from runfold.producers.client import Client
from runfold.producers.compat.automagik import switches
from runfold.producers.compat.automagik.client_config import TelemetryConfig, endpoints_of
from runfold.producers.compat.automagik.config import ENV_VARS, merge_config
from runfold.producers.compat.automagik.fields import (
    LONGEST_ATTRIBUTE,
    LONGEST_MESSAGE,
    clean_attributes,
    clean_text,
    columns_of,
    system_attributes,
)
from runfold.producers.compat.automagik.schema import LogSeverity, MetricType, StandardEvents
from runfold.producers.compat.automagik.session import Session, end_with, shared_client
from runfold.producers.debug import explain
from runfold.producers.tame import message_of
from runfold.schemas.vocabulary import EventType

__all__ = ["AutomagikTelemetry", "LogSeverity", "MetricType", "TelemetryConfig"]

_SHOWN_CHARACTERS = 200
_NONE: Mapping[str, Any] = {}


class AutomagikTelemetry:
    """Records events, errors, metrics and logs of one project, if the user lets it.

    Delivery: a call appends to runfold's journal and returns; nothing is lost at exit.
    Errors: once made, a client never raises, whatever it is given.
    """

    def __init__(
        self, config: TelemetryConfig | None = None, *, client: Client | None = None, **fields: Any
    ) -> None:
        """Make a client; one that is not enabled touches neither disk nor network.

        Shape: `fields` are those of `TelemetryConfig`, in place of `config`; `client` records the
        events, by default one that all clients of this process share.
        Raises: TypeError without a configuration or with two.
        """
        if config is not None and fields:
            raise TypeError("give a TelemetryConfig or its fields, not both")
        self.config = config or TelemetryConfig(**fields)
        self.backend_type = os.environ.get(
            "AUTOMAGIK_TELEMETRY_BACKEND", self.config.backend
        ).lower()
        self.endpoint, self.metrics_endpoint, self.logs_endpoint = endpoints_of(self.config)
        self.session_id = str(uuid.uuid4())
        self.enabled = switches.starts_enabled(self.config.enabled)
        self.user_id = _user_id(keep=self.enabled)
        resolved = merge_config(self.config)
        self.verbose = resolved.verbose
        self._timeout_seconds = float(resolved.timeout)
        self._system = system_attributes(self.config)
        self._every_event = {
            "agent_name": self.config.project_name,
            "agent_version": self.config.version,
            "project": self.config.project_name,
            "session_id": self.session_id,
            "user_id": self.user_id,
        }
        profile = {**self._every_event, "job_type": "automagik", "attributes": self._system}
        self._session = Session(shared_client if client is None else lambda: client, profile)
        end_with(self, self._session)

    def track_event(self, event_name: str, attributes: dict[str, Any] | None = None) -> None:
        """Record that something happened; see `StandardEvents`."""
        if event_name == StandardEvents.ERROR_OCCURRED:
            self._record(EventType.ERROR_RAISED, event_name, attributes, defaults=self._system)
        else:
            self._record(EventType.CUSTOM, event_name, attributes, defaults=self._system)

    def track_error(self, error: Exception, context: dict[str, Any] | None = None) -> None:
        """Record an error by its type and message; `context` wins where it has the same names."""
        described = {
            "error_type": type(error).__name__,
            "error_message": clean_text(message_of(error), LONGEST_ATTRIBUTE),
        }
        self._record(
            EventType.ERROR_RAISED,
            StandardEvents.ERROR_OCCURRED,
            context,
            defaults={**self._system, **described},
        )

    def track_metric(
        self,
        metric_name: str,
        value: float,
        metric_type: MetricType | str = MetricType.GAUGE,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        """Record a value; that of a counter is an increment."""
        kind = MetricType.of(metric_type).value
        self._record(
            EventType.METRIC_RECORDED,
            metric_name,
            attributes,
            body={"metric_type": kind},
            value=value,
        )

    def track_log(
        self,
        message: str,
        severity: LogSeverity | str = LogSeverity.INFO,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        """Record a log message."""
        level = LogSeverity.of(severity)
        written = {
            "message": clean_text(message, LONGEST_MESSAGE),
            "severity_text": level.name,
            "severity_number": level.value,
        }
        self._record(EventType.LOG_WRITTEN, level.name.lower(), attributes, body=written)

    def flush(self) -> None:
        """Wait until what was recorded is in the log, at most for the configuration's timeout."""
        if self.enabled:
            self._session.flush(self._timeout_seconds)

    def enable(self) -> None:
        """Record from now on, in this process, unless it is forbidden; delete a stored no."""
        if switches.forbidden():
            explain("DO_NOT_TRACK or RUNFOLD_ENABLED forbids telemetry, so it stays disabled")
            return
        self.enabled = True
        self.user_id = _user_id(keep=True, known=self.user_id)
        switches.remove(switches.opt_out_file())

    async def disable(self) -> None:
        """Record no more, store the user's no, and wait for what was recorded before."""
        self.enabled = False
        switches.write(switches.opt_out_file(), "")
        self._session.end()
        await asyncio.to_thread(self._session.flush, self._timeout_seconds)

    def is_enabled(self) -> bool:
        """Say whether calls are recorded."""
        return self.enabled

    def get_status(self) -> dict[str, Any]:
        """Return how the client is set, and what became of its events.

        Shape: as published, and `counts`; nothing queues in memory, so `queue_sizes` are zeros.
        """
        return {
            "enabled": self.enabled,
            "user_id": self.user_id,
            "session_id": self.session_id,
            "project_name": self.config.project_name,
            "project_version": self.config.version,
            "endpoint": self.endpoint,
            "metrics_endpoint": self.metrics_endpoint,
            "logs_endpoint": self.logs_endpoint,
            "opt_out_file_exists": switches.is_file(switches.opt_out_file()),
            "env_var": os.environ.get(ENV_VARS["ENABLED"]),
            "verbose": self.verbose,
            "batch_size": self.config.batch_size,
            "compression_enabled": self.config.compression_enabled,
            "queue_sizes": {"traces": 0, "metrics": 0, "logs": 0},
            "counts": asdict(self._session.client.counts),
        }

    async def track_event_async(
        self, event_name: str, attributes: dict[str, Any] | None = None
    ) -> None:
        """Do what `track_event` does, which takes microseconds and blocks no loop."""
        self.track_event(event_name, attributes)

    async def track_error_async(
        self, error: Exception, context: dict[str, Any] | None = None
    ) -> None:
        """Do what `track_error` does."""
        self.track_error(error, context)

    async def track_metric_async(
        self,
        metric_name: str,
        value: float,
        metric_type: MetricType | str = MetricType.GAUGE,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        """Do what `track_metric` does."""
        self.track_metric(metric_name, value, metric_type, attributes)

    async def track_log_async(
        self,
        message: str,
        severity: LogSeverity | str = LogSeverity.INFO,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        """Do what `track_log` does."""
        self.track_log(message, severity, attributes)

    async def flush_async(self) -> None:
        """Do what `flush` does, in a thread."""
        await asyncio.to_thread(self.flush)

    def _record(
        self,
        event_type: EventType,
        name: str,
        given: object,
        *,
        defaults: Mapping[str, Any] = _NONE,
        body: Mapping[str, Any] = _NONE,
        **columns: Any,
    ) -> None:
        """Record attributes over `defaults`; those that `body` has as well are kept beside it."""
        if not self.enabled:
            return
        try:
            named = clean_attributes(given)
            beside = {f"attributes.{key}" if key in body else key: named[key] for key in named}
            attributes = {**defaults, **beside, **body}
            fields = {**self._every_event, "name": name, **columns_of(attributes), **columns}
            if self.verbose:
                _show({"event_type": event_type.value, **fields, "attributes": attributes})
            self._session.record(event_type.value, {**fields, "attributes": attributes})
        except Exception as error:  # noqa: BLE001  nothing may reach the program
            explain(f"{event_type.value} {name!r} is lost", error)


def _user_id(*, keep: bool, known: str | None = None) -> str:
    """Return the user's id: the stored one, else a new one, stored where `keep` says so."""
    path = switches.user_id_file()
    try:
        stored = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        stored = ""
    chosen = stored or known or str(uuid.uuid4())
    if keep and not stored:
        switches.write(path, chosen)
    return chosen


def _show(event: dict[str, Any]) -> None:
    body = orjson.dumps(event, default=repr, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    text = body.decode()
    more = "..." if len(text) > _SHOWN_CHARACTERS else ""
    sys.stdout.write(
        f"\n[Telemetry] Recording {event['event_type']}\n"
        f"  Size: {len(body)} bytes\n  Payload preview: {text[:_SHOWN_CHARACTERS]}{more}\n"
    )
