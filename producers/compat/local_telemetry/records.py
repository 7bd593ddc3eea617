"""Filling in the record of a run: what is the same for all, what changes, and how it ends."""

from __future__ import annotations

import logging
import platform
from collections.abc import Container, Mapping
from typing import Any

from runfold.producers.compat.local_telemetry.config import TelemetryConfig
from runfold.producers.compat.local_telemetry.models import (
    RUN_FIELDS,
    RunRecord,
    calculate_duration_ms,
    get_iso8601_timestamp,
)
from runfold.producers.compat.local_telemetry.status import is_valid_status, normalize_status

logger = logging.getLogger(__name__)


def fill_gaps(
    record: RunRecord, given: Container[str], config: TelemetryConfig, git: Mapping[str, str]
) -> None:
    """Add owner, host and repository where the caller has not given them."""
    record.agent_owner = record.agent_owner or config.agent_owner
    record.host = record.host or platform.node()
    for name, value in git.items():
        if name not in given:
            setattr(record, name, value)


def set_fields(record: RunRecord, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set those of `changes` that are fields of a record, and return them."""
    known = {name: value for name, value in changes.items() if name in RUN_FIELDS}
    for name, value in known.items():
        setattr(record, name, value)
    return known


def finish(record: RunRecord, status: Any, changes: Mapping[str, Any]) -> None:
    """Bring a record to its end. Shape: an unknown status is a failure, and warned of."""
    if not is_valid_status(status):
        shown = repr(status) if isinstance(status, str) else type(status).__name__
        logger.warning("unknown status %s is taken as failure", shown)
    record.status = normalize_status(status) if is_valid_status(status) else "failure"
    record.end_time = get_iso8601_timestamp()
    try:
        record.duration_ms = calculate_duration_ms(record.start_time, record.end_time)
    except ValueError:
        logger.warning("run %s has no duration: its start_time is no time", record.run_id)
    set_fields(record, changes)
