"""Claude Code's own telemetry: sessions are runs, and nothing is spent twice."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.otlp.translation import Request
from tests.otlp_requests import BEGIN_NS, log, logs, metrics, pairs, span, traces

RESOURCE = {"service.name": "claude-code", "service.version": "2.1.0", "os.type": "linux"}
SCOPE = "com.anthropic.claude_code.events"
SESSION = {"session.id": "sess-1", "user.id": "u-1", "app.version": "2.1.0"}

Event = dict[str, Any]


def logged(name: str, sequence: int = 3, **given: Any) -> tuple[Event, Event]:
    """Return the start of the session, and what an event became."""
    told = {**SESSION, "event.name": name, "event.sequence": sequence, **given}
    body = logs([log(f"claude_code.{name}", told)], RESOURCE, SCOPE)
    made = Request(Signal.LOGS, body, as_json=False).translate(content=False)
    assert made.refused == []
    started, event = made.events
    return started, event


def test_a_session_is_a_run() -> None:
    started, event = logged("user_prompt", prompt_length="12")
    assert (started["event_type"], started["run_id"], started["agent_name"]) == (
        "run.started", "sess-1", "claude-code",
    )  # fmt: skip
    assert (started["job_type"], started["agent_version"], started["session_id"]) == (
        "session", "2.1.0", "sess-1",
    )  # fmt: skip
    assert (event["event_type"], event["name"], event["run_id"]) == (
        "custom", "user_prompt", "sess-1",
    )  # fmt: skip
    assert json.loads(event["attributes"])["event.sequence"] == 3


def test_an_api_request_spends_whether_its_numbers_are_texts_or_not() -> None:
    for given in (
        {"input_tokens": 10, "output_tokens": 20, "cost_usd": 0.25, "duration_ms": 900},
        {"input_tokens": "10", "output_tokens": "20", "cost_usd": "0.25", "duration_ms": "900"},
    ):
        _, event = logged(
            "api_request",
            model="claude-opus",
            cache_read_tokens=5,
            cache_creation_tokens=6,
            **given,
        )
        assert event["event_type"] == "llm.called"
        spent = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
        assert [event[each] for each in spent] == [10, 20, 5, 6]
        assert (event["cost_usd"], event["duration_ms"]) == (0.25, 900.0)
        assert (event["provider"], event["model"]) == ("anthropic", "claude-opus")


def test_tools_decisions_and_errors_are_told_in_their_words() -> None:
    _, ended = logged(
        "tool_result", tool_name="Bash", success="false", duration_ms="7", error="exit 1",
        tool_use_id="toolu_1",
    )  # fmt: skip
    assert (ended["event_type"], ended["tool_name"], ended["status"], ended["span_id"]) == (
        "tool.ended", "Bash", "failure", "toolu_1",
    )  # fmt: skip
    assert (ended["error_message"], ended["duration_ms"]) == ("exit 1", 7.0)
    _, decided = logged("tool_decision", tool_name="Bash", decision="reject", source="user_reject")
    assert (decided["event_type"], decided["decision"], decided["decision_reason"]) == (
        "decision.made", "DENY", "user_reject",
    )  # fmt: skip
    _, failed = logged("api_error", model="m", error="overloaded", status_code="529")
    assert (failed["event_type"], failed["error_type"], failed["error_message"]) == (
        "error.raised", "HTTP 529", "overloaded",
    )  # fmt: skip


def test_metrics_and_spans_do_not_spend_again() -> None:
    usage = Metric(name="claude_code.token.usage", unit="tokens")
    told = {**SESSION, "type": "input", "model": "m"}
    usage.sum.data_points.add(time_unix_nano=BEGIN_NS, as_int=10, attributes=pairs(told))
    body = metrics([usage], RESOURCE, "com.anthropic.claude_code")
    _, point = Request(Signal.METRICS, body, as_json=False).translate(content=False).events
    assert (point["run_id"], point["name"], point["value"]) == (
        "sess-1", "claude_code.token.usage", 10.0,
    )  # fmt: skip
    request = {**SESSION, "input_tokens": 10, "gen_ai.usage.input_tokens": 10,
               "gen_ai.operation.name": "chat", "model": "m"}  # fmt: skip
    body = traces(span(1, request, name="claude_code.llm_request"), resource=RESOURCE)
    _, step = Request(Signal.TRACES, body, as_json=False).translate(content=False).events
    assert (step["event_type"], step["run_id"], step["model"]) == ("span.ended", "sess-1", "m")
    for event in (point, step):
        assert not {"input_tokens", "output_tokens", "cost_usd"} & event.keys()
