"""OpenTelemetry's SDK, recorded by the span processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from runfold.producers.hooks.opentelemetry import RunfoldSpanProcessor
from tests.recording import Recording

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5",
}


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


def tracer_of(recording: Recording, *, content: bool = False) -> Tracer:
    """Return a tracer of the real SDK whose spans are recorded."""
    provider = TracerProvider(
        resource=Resource({"service.name": "shop", "service.version": "7"}), shutdown_on_exit=False
    )
    provider.add_span_processor(RunfoldSpanProcessor(recording.client, content=content))
    return provider.get_tracer("tests")


def test_an_agent_is_a_run_with_its_model_calls_and_tools(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with tracer.start_as_current_span("invoke_agent planner", attributes=AGENT) as agent:
        with tracer.start_as_current_span("chat gpt-5", attributes=CHAT) as chat:
            chat.set_attribute("gen_ai.usage.input_tokens", 12)
            chat.set_attribute("gen_ai.usage.output_tokens", 5)
            chat.set_attribute("gen_ai.input.messages", "secret")
        with tracer.start_as_current_span("execute_tool search", attributes=TOOL) as tool:
            pass
    started, called, tool_started, tool_ended, ended = recording.events()
    trace_id, span_id = (f"{agent.get_span_context().trace_id:032x}", _id(agent))
    assert {each["run_id"] for each in recording.events()} == {trace_id}
    assert {each["trace_id"] for each in recording.events()} == {trace_id}
    assert (started["event_type"], started["agent_name"]) == ("run.started", "planner")
    assert (started["agent_version"], started["span_id"]) == ("7", span_id)
    assert called["event_type"] == "llm.called"
    assert (called["provider"], called["model"]) == ("openai", "gpt-5")
    assert (called["input_tokens"], called["output_tokens"]) == (12, 5)
    assert (called["span_id"], called["parent_span_id"]) == (_id(chat), span_id)
    assert "secret" not in str(called)
    assert (tool_started["event_type"], tool_ended["event_type"]) == ("tool.started", "tool.ended")
    assert {tool_started["tool_name"], tool_ended["tool_name"]} == {"search"}
    assert {tool_started["span_id"], tool_ended["span_id"]} == {_id(tool)}
    assert tool_ended["duration_ms"] >= 0
    assert (ended["event_type"], ended["status"]) == ("run.ended", "success")


def test_an_agent_below_an_agent_is_a_sub_run(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with tracer.start_as_current_span("outer", attributes=AGENT) as outer:
        inner_of = {**AGENT, "gen_ai.agent.name": "writer"}
        with tracer.start_as_current_span("inner", attributes=inner_of):
            with tracer.start_as_current_span("chat", attributes=CHAT):
                pass
    runs = {each["agent_name"]: each for each in recording.events("run.started")}
    assert runs["writer"]["parent_run_id"] == runs["planner"]["run_id"]
    assert runs["writer"]["parent_span_id"] == _id(outer)
    assert recording.events("llm.called")[0]["run_id"] == runs["writer"]["run_id"]


def test_what_is_no_agent_opens_a_run_only_where_there_is_none(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with tracer.start_as_current_span("GET /"):
        with tracer.start_as_current_span("query") as query:
            query.add_event("cache miss", {"key": "k"})
    assert recording.types() == ["run.started", "span.ended", "run.ended"]
    assert recording.events("run.started")[0]["agent_name"] == "shop"
    (span,) = recording.events("span.ended")
    assert span["attributes"]["span.events"] == [{"name": "cache miss", "key": "k"}]
    assert span["attributes"]["otel.scope.name"] == "tests"


def test_a_model_call_alone_is_a_run_that_counts_its_tokens_once(recording: Recording) -> None:
    tokens: dict[str, str | int] = {**CHAT, "gen_ai.usage.input_tokens": 9}
    with tracer_of(recording).start_as_current_span("chat", attributes=tokens):
        pass
    assert recording.types() == ["run.started", "llm.called", "run.ended"]
    assert [each.get("input_tokens") for each in recording.events()] == [None, 9, None]


def test_spans_within_a_run_of_runfold_belong_to_it(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with tracer.start_as_current_span("request"):
        with recording.client.run("mine") as run:
            with tracer.start_as_current_span("chat", attributes=CHAT):
                pass
            with tracer.start_as_current_span("agent", attributes=AGENT):
                pass
    assert recording.events("llm.called")[0]["run_id"] == run.run_id
    (planner,) = [e for e in recording.events("run.started") if e["agent_name"] == "planner"]
    assert planner["parent_run_id"] == run.run_id


def test_a_span_within_a_tool_of_runfold_is_below_it(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with recording.client.run("mine") as run, run.tool("search"):
        with tracer.start_as_current_span("chat", attributes=CHAT):
            pass
        with tracer.start_as_current_span("agent", attributes=AGENT):
            pass
    (tool,) = recording.events("tool.started")
    below = [recording.events("llm.called")[0], recording.events("run.started")[1]]
    assert [each["parent_span_id"] for each in below] == [tool["span_id"]] * 2


def test_an_error_is_raised_once_by_the_innermost_span(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with suppress(ValueError):
        with tracer.start_as_current_span("agent", attributes=AGENT):
            with tracer.start_as_current_span("tool", attributes=TOOL) as tool:
                raise ValueError("no")
    (error,) = recording.events("error.raised")
    assert (error["error_type"], error["error_message"]) == ("ValueError", "no")
    assert error["span_id"] == _id(tool)
    ended = recording.events("tool.ended")[0]
    assert ended["status"] == "failure"
    assert "raise ValueError" in ended["attributes"]["exception.stacktrace"]
    (run,) = recording.events("run.ended")
    assert (run["status"], run["error_type"]) == ("failure", "ValueError")


def test_a_status_of_error_without_an_exception_is_one(recording: Recording) -> None:
    with tracer_of(recording).start_as_current_span("agent", attributes=AGENT) as span:
        span.set_attribute("error.type", "timeout")
        span.set_status(Status(StatusCode.ERROR, "took too long"))
    (error,) = recording.events("error.raised")
    assert (error["error_type"], error["error_message"]) == ("timeout", "took too long")


def test_a_cancelled_span_is_no_error(recording: Recording) -> None:
    with suppress(KeyboardInterrupt):
        with tracer_of(recording).start_as_current_span("agent", attributes=AGENT) as span:
            span.record_exception(error := KeyboardInterrupt())
            span.set_status(StatusCode.ERROR)
            raise error
    assert recording.events("error.raised") == []
    assert recording.events("run.ended")[0]["status"] == "cancelled"


def test_a_kind_that_is_known_only_at_the_end_counts_too(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with tracer.start_as_current_span("request"):
        for late in (TOOL, AGENT):
            with tracer.start_as_current_span("later") as span:
                span.set_attributes(late)
    assert [each["event_type"] for each in recording.events()] == [
        "run.started",
        "tool.started",
        "tool.ended",
        "run.started",
        "run.ended",
        "run.ended",
    ]
    assert recording.events("tool.started")[0]["tool_name"] == "search"
    planner = recording.events("run.started")[1]
    assert (planner["agent_name"], planner["parent_run_id"]) == (
        "planner",
        recording.events()[0]["run_id"],
    )


def test_content_is_recorded_where_it_is_asked_for(recording: Recording) -> None:
    said = {**CHAT, "gen_ai.input.messages": "hello"}
    with tracer_of(recording, content=True).start_as_current_span("chat", attributes=said):
        pass
    assert recording.events("llm.called")[0]["attributes"]["gen_ai.input.messages"] == "hello"


def test_a_parent_in_another_process_is_kept_by_its_ids(recording: Recording) -> None:
    remote = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    context = set_span_in_context(NonRecordingSpan(remote))
    with tracer_of(recording).start_as_current_span("agent", context, attributes=AGENT):
        pass
    (started,) = recording.events("run.started")
    assert (started["trace_id"], started["parent_span_id"]) == (f"{7:032x}", f"{8:016x}")


def test_a_span_that_begins_below_one_that_has_ended_is_of_its_run(recording: Recording) -> None:
    tracer = tracer_of(recording)
    with tracer.start_as_current_span("agent", attributes=AGENT) as agent:
        pass
    tracer.start_span("late", set_span_in_context(agent)).end()
    assert len({each["run_id"] for each in recording.events()}) == 1


class RecordOnly(Sampler):
    """Lets processors see spans that are not to be exported."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        """Decide so for every span."""
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        """Name it."""
        return "record only"


def test_spans_that_are_not_sampled_are_not_recorded(recording: Recording) -> None:
    provider = TracerProvider(sampler=RecordOnly(), shutdown_on_exit=False)
    provider.add_span_processor(RunfoldSpanProcessor(recording.client))
    with provider.get_tracer("tests").start_as_current_span("agent", attributes=AGENT):
        pass
    assert recording.events() == []


def test_flushing_the_provider_waits_for_the_log(recording: Recording) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RunfoldSpanProcessor(recording.client))
    with provider.get_tracer("tests").start_as_current_span("agent", attributes=AGENT):
        pass
    assert provider.force_flush()
    assert len(recording.log.events) == 2
    provider.shutdown()


def _id(span: object) -> str:
    return f"{span.get_span_context().span_id:016x}"  # type: ignore[attr-defined]
