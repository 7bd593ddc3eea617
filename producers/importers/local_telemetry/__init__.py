"""Importing what the Local Telemetry client and its service have stored."""

from runfold.producers.importers.local_telemetry.importer import (
    LocalTelemetryImport,
    nothing_started,
    nothing_stored,
)
from runfold.producers.importers.local_telemetry.names import Start
from runfold.producers.importers.local_telemetry.report import ImportReport
from runfold.producers.importers.local_telemetry.rows import EVENT_ID_PREFIX
from runfold.producers.importers.local_telemetry.sources import BadRecord, find_sources

__all__ = [
    "EVENT_ID_PREFIX",
    "BadRecord",
    "ImportReport",
    "LocalTelemetryImport",
    "Start",
    "find_sources",
    "nothing_started",
    "nothing_stored",
]
