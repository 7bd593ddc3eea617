"""What a program does with the Automagik SDK. Run by a Python that has the SDK and not runfold."""

import sys

import automagik_telemetry as sdk  # type: ignore[import-not-found]
from automagik_telemetry.client import (  # type: ignore[import-not-found]
    LogSeverity,
    MetricType,
    TelemetryConfig,
)

what, project = sys.argv[1:]
if what == "oldest":
    client = sdk.AutomagikTelemetry(project_name=project, version="1.2.3")
else:
    client = sdk.AutomagikTelemetry(
        TelemetryConfig(
            project_name=project, version="1.2.3", timeout=1 if what == "impatient" else 5
        )
    )

if what == "many":
    for at in range(250):
        client.track_event("automagik.feature.used", {"at": at})
    for at in range(3):
        client.track_metric("many", at, MetricType.GAUGE)
        client.track_log(f"line {at}", LogSeverity.INFO)
else:
    told = {"feature_name": "list", "ok": True, "n": 3, "note": "é\n\x00"}
    client.track_event("automagik.feature.used", told)
    client.track_error(ValueError("no such contact"), {"error_code": "E1"})
    client.track_metric("load", 1.5, MetricType.GAUGE, {"unit": "1"})
    client.track_metric("sent", 2, MetricType.COUNTER)
    client.track_metric("latency", 12.5, MetricType.HISTOGRAM)
    client.track_metric("broken", float("nan"), MetricType.GAUGE)
    client.track_log("be careful", LogSeverity.WARN, {"where": "here"})
client.flush()
