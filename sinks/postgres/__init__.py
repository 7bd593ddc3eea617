"""The export: what the lake holds, as tables of PostgreSQL that dashboards ask."""

from __future__ import annotations

from runfold.sinks.postgres.exporter import Exporter, open_exporter
from runfold.sinks.postgres.outcome import ExportCounts

__all__ = ["ExportCounts", "Exporter", "open_exporter"]
