"""Metrics and logs that come over the wire, as events."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from runfold.producers.collector.clickhouse.rows import read_rows
from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.otlp.translation import Request, Rows
from tests.otlp_requests import BEGIN_NS, RESOURCE, TRACE, log, logs, metrics

Event = dict[str, Any]


def events_of(signal: Signal, body: bytes, *, as_json: bool = False) -> list[Event]:
    made = Request(signal, body, as_json).translate(content=False)
    assert made.refused == []
    return [each for each in made.events if each["event_type"] != "run.started"]


def attributes_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event["attributes"])
    return found


def metric(kind: str, point: dict[str, Any], **data: Any) -> Metric:
    made = Metric(name="requests", unit="1")
    chosen = getattr(made, kind)
    for name, value in data.items():
        setattr(chosen, name, value)
    chosen.data_points.add(time_unix_nano=BEGIN_NS, **point)
    return made


POINTS = {
    "gauge": (metric("gauge", {"as_double": 1.5}), 1.5, {}),
    "sum": (
        metric("sum", {"as_int": 7}, aggregation_temporality=2, is_monotonic=True),
        7,
        {"temporality": "cumulative", "monotonic": True},
    ),
    "histogram": (
        metric(
            "histogram",
            {"count": 3, "sum": 6.0, "min": 1.0, "max": 3.0,
             "bucket_counts": [1, 2], "explicit_bounds": [1.5]},
            aggregation_temporality=1,
        ),
        6.0,
        {"temporality": "delta", "count": 3, "min": 1.0, "max": 3.0,
         "bucket_counts": [1, 2], "explicit_bounds": [1.5]},
    ),
    "exponential_histogram": (
        metric(
            "exponential_histogram",
            {"count": 2, "sum": 3.0, "scale": 1, "zero_count": 1,
             "positive": {"offset": 2, "bucket_counts": [1]}},
        ),
        3.0,
        {"count": 2, "scale": 1, "zero_count": 1,
         "positive": {"offset": 2, "bucket_counts": [1]},
         "negative": {"offset": 0, "bucket_counts": []}},
    ),
    "summary": (
        metric("summary", {"count": 4, "sum": 8.0,
                           "quantile_values": [{"quantile": 0.5, "value": 2}]}),
        8.0,
        {"count": 4, "quantiles": {"0.5": 2.0}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", POINTS)
def test_every_kind_of_point_is_a_measured_value_with_its_details(kind: str) -> None:
    made, value, details = POINTS[kind]
    (event,) = events_of(Signal.METRICS, metrics([made]))
    assert (event["event_type"], event["name"], event["value"], event["unit"]) == (
        "metric.recorded", "requests", value, "1",
    )  # fmt: skip
    assert attributes_of(event) == {"metric_type": kind, **details}


def test_points_of_a_process_are_of_a_run_for_each_of_its_days() -> None:
    made = Request(Signal.METRICS, metrics([POINTS["gauge"][0]]), as_json=False)
    started, event = made.translate(content=False).events
    assert started["run_id"] == event["run_id"]
    assert event["run_id"].startswith("otlp-shop-")
    assert event["run_id"].endswith("-2025-11-21")
    assert (started["job_type"], started["agent_name"]) == ("process", "shop")


def test_like_points_of_one_request_are_told_apart() -> None:
    made = POINTS["gauge"][0]
    first, second = events_of(Signal.METRICS, metrics([made, made]))
    assert first["event_id"] != second["event_id"]


def test_points_of_a_session_belong_to_it() -> None:
    body = metrics([POINTS["gauge"][0]], {**RESOURCE, "session.id": "s-1"})
    assert events_of(Signal.METRICS, body)[0]["run_id"] == "s-1"


def json_points(*points: dict[str, Any], **fields: Any) -> bytes:
    made = [{"timeUnixNano": BEGIN_NS, **each} for each in points]
    metric = {"name": "m", "gauge": {"dataPoints": made}, **fields}
    scope = {"scope": {"name": "s"}, "metrics": [metric]}
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [scope]}]}).encode()


def test_points_that_are_no_numbers_are_refused_and_their_neighbours_taken() -> None:
    values: list[Any] = [1, {"a": 1}, "many", None, True, float("nan"), float("inf"), "2.5"]
    body = json_points(*({"asDouble": each} for each in values))
    made = Request(Signal.METRICS, body, as_json=True).translate(content=False)
    kept = [each["value"] for each in made.events if "value" in each]
    assert kept == [1, 2.5]
    assert [each.message.partition(": ")[2] for each in made.refused] == [
        "a number is needed, not an object",
        "a number is needed, not 'many'",
        "a number is needed, not null",
        "a number is needed, not True",
        "nan is no number that can be counted",
        "inf is no number that can be counted",
    ]
    places = [each.where.partition(" ")[0] for each in made.refused]
    points = "resourceMetrics[0].scopeMetrics[0].metrics[0].dataPoints"
    assert places == [f"{points}[{at}]" for at in (1, 2, 3, 4, 5, 6)]


def test_an_item_is_named_by_its_place_in_the_request() -> None:
    good, no_event, unread = {"timeUnixNano": str(BEGIN_NS)}, {"timeUnixNano": "5"}, None
    lists = [[good], [unread, no_event, good, no_event], [], [no_event]]
    scopes = [{"logRecords": each} for each in lists]
    body = json.dumps({"resourceLogs": [{}, {"scopeLogs": scopes}]}).encode()
    made = Request(Signal.LOGS, body, as_json=True).translate(content=False)
    places = sorted(each.where for each in made.refused)
    at = "resourceLogs[1].scopeLogs"
    assert places == [
        f"{at}[1].logRecords[0]",
        f"{at}[1].logRecords[1]",
        f"{at}[1].logRecords[3]",
        f"{at}[3].logRecords[0]",
    ]


def test_a_row_is_named_by_its_place_among_the_rows() -> None:
    row = {"metric_name": "m", "metric_type": "GAUGE", "value": 1, "timestamp_ns": BEGIN_NS}
    rows = [{**row, "project_name": "a"}, {**row, "project_name": "b"}, {**row, "value": None}]
    rows += [{**row, "project_name": "b", "timestamp_ns": 5}]
    rows += [{**row, "project_name": "a", "metric_name": ""}]
    body = b"\n\n".join(map(orjson.dumps, rows))
    signal, batch = read_rows(body)
    made = Rows(signal, body, True, batch).translate(content=False)
    places = {each.where.partition(" ")[0] for each in made.refused}
    assert places == {"rows[2]", "rows[3]", "rows[4]"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "name: a metric needs one"),
        ({"gauge": None}, "metric 'm' has no data"),
        ({"gauge": {"dataPoints": {}}}, "gauge.dataPoints: a list is needed"),
        ({"gauge": {"dataPoints": [{"asInt": "1"}]}}, "is not in the years"),
    ],
)
def test_a_metric_that_cannot_be_read_is_named(fields: dict[str, Any], said: str) -> None:
    made = Request(Signal.METRICS, json_points({"asInt": "1"}, **fields), True)
    (refused,) = made.translate(content=False).refused
    assert said in refused.message


def test_json_and_protobuf_give_the_same_points() -> None:
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    body = metrics(made for made, _, _ in POINTS.values())
    text = MessageToJson(ExportMetricsServiceRequest.FromString(body)).encode()
    plain = events_of(Signal.METRICS, body)
    told = events_of(Signal.METRICS, text, as_json=True)
    assert len(plain) == len(POINTS)
    for left, right in zip(plain, told, strict=True):
        assert {**left, "event_id": "", "attributes": attributes_of(left)} == {
            **right, "event_id": "", "attributes": attributes_of(right),
        }  # fmt: skip


def test_like_items_of_one_request_are_told_apart_and_a_retry_is_not() -> None:
    body = logs([log("same"), log("same")])
    first, second = events_of(Signal.LOGS, body)
    assert first["event_id"] != second["event_id"]
    assert events_of(Signal.LOGS, body) == [first, second]
    assert events_of(Signal.LOGS, logs([log("same")]))[0]["event_id"] != first["event_id"]


def test_a_log_record_is_of_the_run_of_its_trace() -> None:
    record = log(
        "said", {"code": 5}, severity_number=13, severity_text="WARN",
        trace_id=bytes.fromhex(TRACE), span_id=bytes(7) + b"\x05",
    )  # fmt: skip
    (event,) = events_of(Signal.LOGS, logs([record], scope="app.db"))
    assert (event["event_type"], event["name"], event["run_id"]) == ("log.written", "warn", TRACE)
    assert (event["trace_id"], event["span_id"]) == (TRACE, "0000000000000005")
    assert attributes_of(event) == {
        "code": 5, "message": "said", "severity_number": 13, "severity_text": "WARN",
        "logger": "app.db",
    }  # fmt: skip


def test_an_exception_that_is_logged_as_an_error_is_one() -> None:
    told = {"exception.type": "KeyError", "exception.message": "'x'"}
    written, raised = events_of(Signal.LOGS, logs([log("oh", told, severity_number=17)]))
    assert (raised["event_type"], raised["error_type"], raised["error_message"]) == (
        "error.raised", "KeyError", "'x'",
    )  # fmt: skip
    assert raised["run_id"] == written["run_id"]
    assert "attributes" not in raised


def test_content_of_generative_ai_is_left_out_of_logs() -> None:
    record = log("what was said", {"gen_ai.input.messages": "secret"}, event_name="gen_ai.choice")
    (event,) = events_of(Signal.LOGS, logs([record]))
    assert attributes_of(event) == {"event.name": "gen_ai.choice"}


def test_bytes_and_huge_texts_are_kept_within_what_the_log_takes() -> None:
    body = logs([log("x" * 3_000_000, {"b": b"\xff\x00"})])
    (event,) = events_of(Signal.LOGS, body)
    told = attributes_of(event)
    assert told["b"] == "/wA="
    assert told["runfold.altered"] == {"message": "truncated"}
    assert len(event["attributes"]) < 1_000_000
