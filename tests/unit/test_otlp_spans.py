"""Spans that come over the wire, as runs and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.otlp.translation import Request, Translation
from tests.otlp_requests import (
    AGENT,
    BEGIN_NS,
    CHAT,
    RESOURCE,
    TOOL,
    TRACE,
    span,
    span_id,
    traces,
)

Event = dict[str, Any]


def translated(body: bytes, *, as_json: bool = False, content: bool = False) -> Translation:
    return Request(Signal.TRACES, body, as_json).translate(content=content)


def events_of(body: bytes, **how: bool) -> list[Event]:
    made = translated(body, **how)
    assert made.refused == []
    return made.events


def as_json_of(body: bytes) -> bytes:
    """Return a request in OTLP's JSON: ids in hexadecimal."""
    request = MessageToDict(ExportTraceServiceRequest.FromString(body))
    spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    for fields, each in zip(
        request["resourceSpans"][0]["scopeSpans"][0]["spans"], spans, strict=True
    ):
        fields["traceId"], fields["spanId"] = each.trace_id.hex(), each.span_id.hex()
        fields["parentSpanId"] = each.parent_span_id.hex()
    return json.dumps(request).encode()


def test_an_agent_is_a_run_with_its_model_calls_and_tools() -> None:
    body = traces(span(2, CHAT, parent=1), span(3, TOOL, parent=1), span(1, AGENT, name="go"))
    called, tool_started, tool_ended, started, ended = events_of(body)
    assert {each["run_id"] for each in (called, tool_started, started, ended)} == {TRACE}
    assert [each["event_type"] for each in (called, tool_started, tool_ended, started, ended)] == [
        "llm.called", "tool.started", "tool.ended", "run.started", "run.ended"
    ]  # fmt: skip
    assert (started["agent_name"], started["project"], started["host"]) == (
        "planner", "shop", "box",
    )  # fmt: skip
    assert (called["provider"], called["model"]) == ("openai", "gpt-5")
    assert (called["input_tokens"], called["output_tokens"]) == (12, 5)
    assert called["duration_ms"] == 500.0
    assert called["occurred_at"] == (BEGIN_NS + 500_000_000) // 1000
    assert (tool_ended["tool_name"], tool_ended["status"]) == ("search", "success")
    assert called["event_id"] == f"otlp-{TRACE}-{span_id(2)}"


def test_spans_that_come_before_their_agent_belong_to_the_run_of_the_root() -> None:
    early = events_of(traces(span(2, CHAT, parent=1)))
    late = events_of(traces(span(1, AGENT)))
    assert {each["run_id"] for each in early + late} == {TRACE}


def test_an_agent_below_an_agent_is_a_sub_run_and_has_what_is_below_it() -> None:
    body = traces(
        span(4, CHAT, parent=3), span(3, parent=2), span(2, AGENT, parent=1), span(1, AGENT)
    )
    found = {each["event_id"]: each for each in events_of(body)}
    below = f"{TRACE}-{span_id(2)}"
    assert found[f"otlp-{TRACE}-{span_id(4)}"]["run_id"] == below
    assert found[f"otlp-{TRACE}-{span_id(3)}"]["run_id"] == below
    started = found[f"otlp-{below}-started"]
    assert (started["run_id"], started["parent_run_id"]) == (below, TRACE)


def test_a_root_that_is_no_agent_is_a_run_and_its_call_spends_once() -> None:
    started, called, ended = events_of(traces(span(1, CHAT, name="chat gpt-5")))
    assert (started["agent_name"], started["name"]) == ("shop", "chat gpt-5")
    assert called["input_tokens"] == 12
    assert "input_tokens" not in ended
    assert (ended["event_type"], ended["status"]) == ("run.ended", "success")


def test_a_call_around_a_call_tells_the_same_tokens_and_they_count_once() -> None:
    outer = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 12}
    body = traces(
        span(4, CHAT, parent=3), span(3, parent=2), span(2, outer, parent=1), span(1, CHAT)
    )
    events = events_of(body)
    (called,) = (each for each in events if "input_tokens" in each)
    assert (called["event_type"], called["span_id"]) == ("llm.called", span_id(4))
    assert [each["event_type"] for each in events if each["span_id"] == span_id(2)] == [
        "span.ended"
    ]
    assert '"llm.token_count.prompt":12' in "".join(each.get("attributes", "") for each in events)


@pytest.mark.parametrize("between", [AGENT, TOOL])
def test_a_call_that_a_call_has_asked_for_by_a_tool_is_one_of_its_own(
    between: dict[str, Any],
) -> None:
    embedding = {**CHAT, "gen_ai.operation.name": "embeddings"}
    body = traces(
        span(5, embedding, parent=1),
        span(4, CHAT, parent=3),
        span(3, between, parent=1),
        span(1, CHAT),
    )
    assert sum("input_tokens" in each for each in events_of(body)) == 3


def test_spans_that_are_each_others_parents_count_once() -> None:
    events = events_of(traces(span(1, CHAT, parent=2), span(2, CHAT, parent=1)))
    assert sum("input_tokens" in each for each in events) == 1


def test_an_error_that_passes_through_is_raised_once_by_the_innermost() -> None:
    error = ("ValueError", "no")
    body = traces(
        span(3, TOOL, parent=2, error=error),
        span(2, parent=1, error=error),
        span(1, AGENT, error=error),
    )
    events = events_of(body)
    (raised,) = (each for each in events if each["event_type"] == "error.raised")
    assert raised["span_id"] == span_id(3)
    assert (raised["error_type"], raised["error_message"]) == error
    assert {each["status"] for each in events if "status" in each} == {"failure"}


def test_what_is_cancelled_is_no_error() -> None:
    events = events_of(traces(span(1, AGENT, error=("asyncio.CancelledError", ""))))
    assert [each["event_type"] for each in events] == ["run.started", "run.ended"]
    assert events[1]["status"] == "cancelled"


def test_content_is_left_out_unless_it_is_wanted() -> None:
    body = traces(span(1, {**CHAT, "gen_ai.input.messages": "secret"}))
    assert not any("secret" in each.get("attributes", "") for each in events_of(body))
    assert any("secret" in each.get("attributes", "") for each in events_of(body, content=True))


@pytest.mark.parametrize("content", [False, True])
def test_json_and_protobuf_give_the_same_events(content: bool) -> None:
    wild = {
        **CHAT,
        "a": [1, "two", {"b": True}],
        "big": (1 << 63) - 1,
        "half": 0.5,
        "input.value": "",
    }
    body = traces(span(2, wild, parent=1, error=("E", "m")), span(1, AGENT), scope="lib")
    assert events_of(as_json_of(body), as_json=True, content=content) == events_of(
        body, content=content
    )


def test_a_request_that_is_sent_again_gives_the_same_events() -> None:
    body = traces(span(2, TOOL, parent=1), span(1, AGENT))
    assert translated(body).events == translated(body).events


def json_span(**fields: Any) -> bytes:
    usual = {
        "traceId": "ab" * 32, "spanId": "cd" * 8, "name": "thing",
        "startTimeUnixNano": BEGIN_NS, "endTimeUnixNano": str(BEGIN_NS + 1000),
    }  # fmt: skip
    attributes = [
        {"key": name, "value": {"stringValue": value}} for name, value in RESOURCE.items()
    ]
    spans = [{**usual, **fields}, {**usual, "spanId": "ef" * 8}]
    scope = {"scope": {"name": "s"}, "spans": spans}
    request = {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]}
    return json.dumps(request).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"resource": {"attributes": []}, "kind": "SPAN_KIND_INTERNAL", "status": {"code": "1"}},
        {"name": "", "status": {"code": "STATUS_CODE_OK"}},
        {"attributes": [{"key": 5, "value": {"doubleValue": float("nan")}}]},
        {"attributes": [{"key": "k", "value": {"intValue": "12"}}, {"key": "x", "value": None}]},
        {"name": "\ud800 and \x00", "endTimeUnixNano": 0},
        {"attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": 1 << 70}}]},
    ],
)
def test_real_clients_that_break_the_rules_are_understood(fields: dict[str, Any]) -> None:
    events = events_of(json_span(**fields), as_json=True)
    assert {each["trace_id"] for each in events} == {"ab" * 32}
    assert {each["span_id"] for each in events} == {"cd" * 8, "ef" * 8}


def test_what_no_text_or_number_of_the_log_can_hold_is_kept_as_text() -> None:
    odd = [{"key": "n", "value": {"doubleValue": float("nan")}}]
    event = events_of(json_span(name="\ud800", attributes=odd), as_json=True)[0]
    ended = events_of(json_span(name="\ud800", attributes=odd), as_json=True)[1]
    assert (event["name"], ended["name"]) == ("\\ud800", "\\ud800")
    told = json.loads(ended["attributes"])
    assert (told["n"], told["runfold.altered"]) == ("nan", {"n": "not_finite"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"traceId": ""}, "traceId is missing"),
        ({"spanId": "0" * 16}, "spanId is missing"),
        ({"spanId": 5}, "spanId: a text is needed, not a number"),
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano: a whole number is needed, not 'soon'"),
        ({"startTimeUnixNano": 5}, "is not in the years 2000 to 2199"),
        ({"startTimeUnixNano": 0, "endTimeUnixNano": None}, "neither startTimeUnixNano nor"),
        ({"attributes": {"a": 1}}, "attributes: a list is needed, not an object"),
        ({"status": [1]}, "status: an object is needed, not a list"),
        ({"kind": "SPAN_KIND_ODD"}, "kind: a whole number is needed"),
    ],
)
def test_a_span_that_cannot_be_read_is_named_and_its_neighbour_is_taken(
    fields: dict[str, Any], said: str
) -> None:
    made = translated(json_span(**fields), as_json=True)
    (refused,) = made.refused
    assert said in refused.message
    assert json.loads(refused.content)["name"] == "thing"
    assert {each["span_id"] for each in made.events} == {"ef" * 8}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"x"', b"{", b'{"resourceSpans": {}}', b"\xff", b"[" * 100_000],
)
def test_what_is_no_request_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"resourceSpans|body"):
        translated(body, as_json=True)


def test_protobuf_that_is_cut_off_is_refused_as_a_whole() -> None:
    with pytest.raises(ValueError, match="ExportTraceServiceRequest"):
        translated(traces(span(1))[:-3])


def test_deep_values_are_refused_and_named() -> None:
    deep: Any = "x"
    for _ in range(80):
        deep = {"arrayValue": {"values": [deep if isinstance(deep, dict) else {}]}}
    made = translated(json_span(attributes=[{"key": "d", "value": deep}]), as_json=True)
    assert "nest deeper" in made.refused[0].message
