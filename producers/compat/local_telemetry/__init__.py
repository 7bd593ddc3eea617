"""The calls of the Local Telemetry client, recorded by runfold.

Replace `telemetry` by `runfold.producers.compat.local_telemetry` in an agent's imports, those of
submodules included, and nothing else. `docs/compat-local-telemetry.md` says call by call what is
as before and what is better.
"""

from runfold.producers.compat.local_telemetry.client import TelemetryClient
from runfold.producers.compat.local_telemetry.config import TelemetryConfig
from runfold.producers.compat.local_telemetry.models import (
    SCHEMA_VERSION,
    APIPayload,
    RunEvent,
    RunRecord,
)
from runfold.producers.compat.local_telemetry.run_context import RunContext

__version__ = "0.1.0"
"""The version that the client which is replaced calls itself."""

__all__ = [
    "SCHEMA_VERSION",
    "APIPayload",
    "RunContext",
    "RunEvent",
    "RunRecord",
    "TelemetryClient",
    "TelemetryConfig",
]
