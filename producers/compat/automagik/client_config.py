"""The configuration that the client takes, and the addresses that follow from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

DEFAULT_BASE = "https://telemetry.namastex.ai"
_SIGNALS = ("traces", "metrics", "logs")


@dataclass
class TelemetryConfig:
    """Names the project, and takes all that the published client took.

    Shape: only `project_name`, `version`, `organization`, `enabled`, `verbose` and `timeout` do
    anything: events go to runfold's log by way of a journal, which needs no backend, batches,
    retries or compression of the caller's. `enabled` is the program's wish, see `switches`.
    Units: `timeout`, the longest wait of `flush`, `flush_interval` and `retry_backoff_base` in
    seconds; `compression_threshold` in bytes.
    """

    project_name: str
    version: str
    backend: str = "otlp"
    endpoint: str | None = None
    organization: str = "namastex"
    timeout: int | None = None
    batch_size: int = 100
    flush_interval: float = 5.0
    compression_enabled: bool = True
    compression_threshold: int = 1024
    max_retries: int = 3
    retry_backoff_base: float = 1.0
    metrics_endpoint: str | None = None
    logs_endpoint: str | None = None
    clickhouse_endpoint: str = "http://localhost:8123"
    clickhouse_database: str = "telemetry"
    clickhouse_table: str = "traces"
    clickhouse_metrics_table: str = "metrics"
    clickhouse_logs_table: str = "logs"
    clickhouse_username: str = "default"
    clickhouse_password: str = ""
    enabled: bool | None = None
    verbose: bool | None = None


class Endpoints(NamedTuple):
    """Where the published client would have sent its three signals."""

    traces: str
    metrics: str
    logs: str


def endpoints_of(config: TelemetryConfig) -> Endpoints:
    """Return the addresses that the configuration, else the environment, leads to."""
    base = config.endpoint or os.environ.get("AUTOMAGIK_TELEMETRY_ENDPOINT") or DEFAULT_BASE
    base = base.rstrip("/")
    if base.endswith(tuple(f"/{signal}" for signal in _SIGNALS)):
        traces, rest = base, base.rsplit("/v1/" if "/v1/" in base else "/", 1)[0]
        siblings = f"{rest}/v1" if "/v1/" in base else rest
    else:
        siblings = f"{base}/v1"
        traces = f"{siblings}/traces"
    return Endpoints(
        traces,
        config.metrics_endpoint
        or os.environ.get("AUTOMAGIK_TELEMETRY_METRICS_ENDPOINT")
        or f"{siblings}/metrics",
        config.logs_endpoint
        or os.environ.get("AUTOMAGIK_TELEMETRY_LOGS_ENDPOINT")
        or f"{siblings}/logs",
    )
