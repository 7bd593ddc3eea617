"""The published Automagik SDKs, as the same events that their drop-in records."""

from __future__ import annotations

import json
from typing import Any

from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.otlp.translation import Request

NS = 1_763_700_000_123_456_789
TRACE = "0123456789abcdef" * 4
RESOURCE = {
    "service.name": "omni", "service.version": "1.2", "project.name": "omni",
    "project.version": "1.2", "service.organization": "namastex", "user.id": "u-1",
    "session.id": "s-1", "telemetry.sdk.name": "automagik-telemetry",
    "telemetry.sdk.version": "0.1.4",
}  # fmt: skip


def request(
    signal: Signal, items: list[dict[str, Any]], resource: dict[str, str] = RESOURCE
) -> list[dict[str, Any]]:
    """Return the events of a body as the SDK writes it."""
    what = {"traces": "Spans", "metrics": "Metrics", "logs": "Logs"}[signal]
    listed = {"traces": "spans", "metrics": "metrics", "logs": "logRecords"}[signal]
    told = [{"key": name, "value": {"stringValue": value}} for name, value in resource.items()]
    scope = {"scope": {"name": "omni.telemetry", "version": "1.2"}, listed: items}
    body = {f"resource{what}": [{"resource": {"attributes": told}, f"scope{what}": [scope]}]}
    made = Request(signal, json.dumps(body).encode(), as_json=True).translate(content=False)
    assert made.refused == []
    return made.events


def attributes(**given: Any) -> list[dict[str, Any]]:
    kinds = {bool: "boolValue", float: "doubleValue", str: "stringValue"}
    return [{"key": name, "value": {kinds[type(value)]: value}} for name, value in given.items()]


def span(name: str, **given: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE, "spanId": "f" * 16, "name": name, "kind": "SPAN_KIND_INTERNAL",
        "startTimeUnixNano": NS, "endTimeUnixNano": NS + 1500, "status": {"code": 1},
        "resource": {"attributes": []}, "attributes": attributes(**given),
    }  # fmt: skip


def test_an_event_keeps_its_names_types_and_whole_trace_id() -> None:
    told: dict[str, Any] = {"system.os": "Linux", "feature_name": "x", "count": 2.0, "ok": True}
    started, event = request(Signal.TRACES, [span("automagik.feature.used", **told)])
    assert (started["event_type"], started["run_id"]) == ("run.started", "s-1")
    assert (started["job_type"], started["agent_name"], started["project"]) == (
        "automagik", "omni", "omni",
    )  # fmt: skip
    assert (event["event_type"], event["name"], event["run_id"]) == (
        "custom", "automagik.feature.used", "s-1",
    )  # fmt: skip
    assert (event["session_id"], event["user_id"], event["trace_id"]) == ("s-1", "u-1", TRACE)
    assert "duration_ms" not in event
    assert json.loads(event["attributes"]) == {**told, "time_unix_nano": NS}


def test_a_tracked_error_is_one_though_its_status_is_fine() -> None:
    _, event = request(
        Signal.TRACES, [span("automagik.error", error_type="ValueError", error_message="no")]
    )
    assert (event["event_type"], event["error_type"], event["error_message"]) == (
        "error.raised", "ValueError", "no",
    )  # fmt: skip


def test_metrics_are_values_of_one_call_each() -> None:
    point = {"asDouble": 3, "timeUnixNano": NS, "attributes": attributes(a="b")}
    items = [
        {"name": "g", "description": "", "gauge": {"dataPoints": [point]}},
        {"name": "c", "sum": {"isMonotonic": True, "aggregationTemporality": 2,
                              "dataPoints": [point]}},
        {"name": "js", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
                               "dataPoints": [{**point, "timeUnixNano": str(NS)}]}},
        {"name": "h", "histogram": {"dataPoints": [
            {"count": 1, "sum": 3, "timeUnixNano": NS, "attributes": attributes(a="b")}]}},
    ]  # fmt: skip
    _, *events = request(Signal.METRICS, items)
    assert [each["value"] for each in events] == [3.0] * 4
    kinds = [json.loads(each["attributes"])["metric_type"] for each in events]
    assert kinds == ["gauge", "counter", "counter", "histogram"]
    assert {each["run_id"] for each in events} == {"s-1"}


def test_a_log_is_written_with_its_level() -> None:
    item = {
        "timeUnixNano": NS, "severityNumber": 17, "severityText": "ERROR",
        "body": {"stringValue": "it failed"}, "attributes": attributes(trace_id="abc"),
    }  # fmt: skip
    _, event = request(Signal.LOGS, [item])
    assert (event["event_type"], event["name"], event["trace_id"]) == (
        "log.written", "error", "abc",
    )  # fmt: skip
    told = json.loads(event["attributes"])
    assert (told["message"], told["severity_text"], told["severity_number"]) == (
        "it failed", "ERROR", 17,
    )  # fmt: skip


def test_the_oldest_sdks_are_known_by_their_resource() -> None:
    resource = {
        name: value for name, value in RESOURCE.items()
        if not name.startswith(("project.", "telemetry."))
    }  # fmt: skip
    _, event = request(Signal.TRACES, [span("cli.command")], resource)
    assert (event["event_type"], event["project"]) == ("custom", "omni")
