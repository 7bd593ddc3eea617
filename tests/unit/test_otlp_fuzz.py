"""Whatever is sent, a request is refused as a whole or every item has its place."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.otlp.translation import Request
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.vocabulary import DeadLetterReason
from tests.otlp_requests import AGENT, BEGIN_NS, CHAT, log, logs, span, traces

ENCODE = SparseEncoder(latest("event"))
SIGNALS = st.sampled_from(Signal)
REASONS = {each.value for each in DeadLetterReason}
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["0", "1e400", str(BEGIN_NS), "NaN", "ab" * 32, "\x00"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["key", "value", "values", "name", "code", "x"]), inner),
    max_leaves=8,
)  # fmt: skip
_VALUE = {
    "key": "k",
    "value": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}},
}
_SPAN = {
    "traceId": "ab" * 16, "spanId": "cd" * 8, "parentSpanId": "", "name": "n", "kind": 1,
    "startTimeUnixNano": BEGIN_NS, "endTimeUnixNano": BEGIN_NS, "attributes": [_VALUE],
    "events": [{"name": "exception", "attributes": [_VALUE]}], "links": [{"spanId": "ef" * 8}],
    "status": {"code": 2, "message": "m"},
}  # fmt: skip
_LOG = {
    "timeUnixNano": BEGIN_NS, "severityNumber": 17, "severityText": "ERROR",
    "body": {"arrayValue": {"values": [{"stringValue": "x"}]}}, "attributes": [_VALUE],
    "traceId": "ab" * 16, "spanId": "cd" * 8, "eventName": "e",
}  # fmt: skip
_POINT = {"timeUnixNano": BEGIN_NS, "attributes": [_VALUE]}
_METRICS = [
    {"name": "a", "gauge": {"dataPoints": [{**_POINT, "asDouble": 1.5}]}},
    {"name": "b", "sum": {"aggregationTemporality": 1, "isMonotonic": True,
                          "dataPoints": [{**_POINT, "asInt": "3"}]}},
    {"name": "c", "histogram": {"dataPoints": [
        {**_POINT, "count": 1, "sum": 2, "min": 1, "bucketCounts": ["1"], "explicitBounds": [1]}]}},
    {"name": "d", "exponentialHistogram": {"dataPoints": [
        {**_POINT, "count": 1, "sum": 2, "scale": 1, "positive": {"bucketCounts": [1]}}]}},
    {"name": "e", "summary": {"dataPoints": [
        {**_POINT, "count": 1, "sum": 2, "quantileValues": [{"quantile": 0.5, "value": 1}]}]}},
]  # fmt: skip


def _request(what: str, listed: str, items: list[Any]) -> dict[str, Any]:
    source = {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]}
    scope = {"scope": {"name": "s", "version": "1"}, listed: items}
    return {f"resource{what}": [{"resource": source, f"scope{what}": [scope]}]}


GOOD: dict[Signal, dict[str, Any]] = {
    Signal.TRACES: _request("Spans", "spans", [_SPAN]),
    Signal.LOGS: _request("Logs", "logRecords", [_LOG]),
    Signal.METRICS: _request("Metrics", "metrics", _METRICS),
}


def placed(signal: Signal, body: bytes, *, as_json: bool) -> None:
    """Check that a request is refused as a whole, or that each event of it can be stored."""
    try:
        made = Request(signal, body, as_json).translate(content=True)
    except ValueError:
        return
    for event in made.events:
        assert decode_event(ENCODE(event)).run_id
        json.loads(event.get("attributes", "{}"))
    for refused in made.refused:
        assert refused.reason in REASONS
        assert refused.message
        assert refused.where
        assert isinstance(refused.content, bytes)


@given(SIGNALS, st.binary(), st.booleans())
def test_any_bytes(signal: Signal, body: bytes, as_json: bool) -> None:
    placed(signal, body, as_json=as_json)


@given(SIGNALS, WILD)
def test_any_json(signal: Signal, value: Any) -> None:
    placed(signal, json.dumps(value).encode(), as_json=True)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        inner = [path for key, each in value.items() for path in _paths(each, (*at, key))]
    elif isinstance(value, list):
        inner = [path for key, each in enumerate(value) for path in _paths(each, (*at, key))]
    else:
        inner = []
    return [at, *inner] if at else inner


@settings(max_examples=150)
@given(st.data())
def test_a_good_request_with_anything_in_one_place(data: st.DataObject) -> None:
    signal = data.draw(SIGNALS)
    body = copy.deepcopy(GOOD[signal])
    *way, last = data.draw(st.sampled_from(_paths(body)))
    at: Any = body
    for each in way:
        at = at[each]
    at[last] = data.draw(WILD)
    placed(signal, json.dumps(body).encode(), as_json=True)


@settings(max_examples=150)
@given(st.data())
def test_protobuf_that_is_damaged(data: st.DataObject) -> None:
    whole = traces(span(2, CHAT, parent=1), span(1, AGENT))
    signal, body = data.draw(
        st.sampled_from([(Signal.TRACES, whole), (Signal.LOGS, logs([log("x", {"a": [1]})]))])
    )
    damaged = bytearray(body)
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    placed(signal, bytes(damaged), as_json=False)


@pytest.mark.parametrize("signal", Signal)
def test_what_is_damaged_here_is_good_otherwise(signal: Signal) -> None:
    made = Request(signal, json.dumps(GOOD[signal]).encode(), as_json=True).translate(content=True)
    assert made.refused == []
    assert made.events
