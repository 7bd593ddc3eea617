"""Cleaning up after agents that did not end their runs."""

from runfold.producers.compat.local_telemetry.helpers.cleanup_stale_runs import (
    cleanup_on_startup,
    cleanup_stale_runs,
)

__all__ = ["cleanup_on_startup", "cleanup_stale_runs"]
