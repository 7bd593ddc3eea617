"""The OpenAI Agents SDK with its own models against a server of ours, recorded by the processor."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    UserError,
    function_tool,
)
from agents.tracing import custom_span, set_trace_processors, trace
from openai import APIError, AsyncOpenAI

from runfold.producers.hooks.openai_agents import RunfoldTracingProcessor
from tests.recording import Recording

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5-2026",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "done", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 20,
        "output_tokens": 7,
        "total_tokens": 27,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 3},
    },
}


class Provider(ThreadingHTTPServer):
    """Answers as OpenAI's API does, by a script of messages; an empty script is an outage."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.script: list[dict[str, Any]] = []

    @property
    def client(self) -> AsyncOpenAI:
        """A client that asks this server."""
        url = f"http://127.0.0.1:{self.server_port}/v1"
        return AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    @property
    def model(self) -> Model:
        """A model that asks this server."""
        return OpenAIChatCompletionsModel("gpt-5", self.client)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the next status and body."""
        if path.endswith("/responses"):
            return 200, RESPONSE
        if not self.script:
            return 500, {"error": {"message": "overloaded"}}
        message = {"role": "assistant", "content": None, **self.script.pop(0)}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        fixed = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5-2026"}
        return 200, {**fixed, "choices": [choice], "usage": USAGE}


class _Answer(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, body = self.server.answer(self.path)
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    set_trace_processors([RunfoldTracingProcessor(one.client)])
    yield one
    set_trace_processors([])
    one.client.close()


def calls(name: str, arguments: str = "{}") -> dict[str, Any]:
    """Return the message of a model that calls a tool."""
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"id": f"call_{name}", "type": "function", "function": function}]}


@function_tool
def search(query: str) -> str:
    """Search the web."""
    return f"about {query}"


@function_tool(failure_error_function=None)
def fail() -> str:
    """Fail."""
    raise LookupError("nothing found")


def run(agent: Agent[Any], **settings: Any) -> Any:
    """Run an agent to its end."""
    return asyncio.run(Runner.run(agent, "a question", **settings)).final_output


async def watch(tripped: bool) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=tripped)


def guardrail(*, trips: bool) -> InputGuardrail[Any]:
    return InputGuardrail(lambda *_: watch(trips), name="polite")


def test_a_trace_is_a_run_and_its_agents_are_sub_runs(
    recording: Recording, provider: Provider
) -> None:
    provider.script = [
        calls("search", '{"query": "life"}'),
        calls("transfer_to_writer"),
        {"content": "done"},
    ]
    writer = Agent("writer", model=provider.model)
    planner = Agent(
        "planner",
        model=provider.model,
        tools=[search],
        handoffs=[writer],
        input_guardrails=[guardrail(trips=False)],
    )
    config = RunConfig(workflow_name="answers", group_id="g1", trace_metadata={"team": "x"})
    assert run(planner, run_config=config) == "done"

    runs = {each["agent_name"]: each for each in recording.events("run.started")}
    assert set(runs) == {"answers", "planner", "writer"}
    whole = runs["answers"]
    assert (whole["run_id"], whole["session_id"]) == (whole["trace_id"], "g1")
    assert whole["attributes"] == {"team": "x"}
    assert {runs[name]["parent_run_id"] for name in ("planner", "writer")} == {whole["run_id"]}
    assert {each["status"] for each in recording.events("run.ended")} == {"success"}
    assert {each["trace_id"] for each in recording.events()} == {whole["run_id"]}

    asked = recording.events("llm.called")
    assert [each["run_id"] for each in asked] == [
        runs["planner"]["run_id"],
        runs["planner"]["run_id"],
        runs["writer"]["run_id"],
    ]
    for each in asked:
        assert each["model"] == "gpt-5"
        assert (each["input_tokens"], each["cache_read_tokens"]) == (6, 4)
        assert (each["output_tokens"], each["reasoning_tokens"]) == (5, 2)
    assert sum(each.get("output_tokens", 0) for each in recording.events()) == 15

    (begun,), (ended,) = recording.events("tool.started"), recording.events("tool.ended")
    assert (begun["tool_name"], ended["tool_name"], ended["status"]) == (
        "search",
        "search",
        "success",
    )
    assert begun["span_id"] == ended["span_id"]
    decisions = [(each["name"], each["decision"]) for each in recording.events("decision.made")]
    assert decisions == [("polite", "passed"), ("handoff", "hand off to writer")]
    assert "about life" not in str(recording.events())


def test_a_response_has_its_tokens_within(recording: Recording, provider: Provider) -> None:
    model = OpenAIResponsesModel("gpt-5", provider.client)
    assert run(Agent("planner", model=model)) == "done"
    (asked,) = recording.events("llm.called")
    assert asked["model"] == "gpt-5-2026"
    assert (asked["input_tokens"], asked["cache_read_tokens"]) == (12, 8)
    assert (asked["output_tokens"], asked["reasoning_tokens"]) == (7, 3)


def test_what_was_said_is_recorded_where_it_is_asked_for(
    recording: Recording, provider: Provider
) -> None:
    set_trace_processors([RunfoldTracingProcessor(recording.client, content=True)])
    provider.script = [calls("search", '{"query": "life"}'), {"content": "done"}]
    run(Agent("planner", model=provider.model, tools=[search]))
    (ended,) = recording.events("tool.ended")
    assert ended["attributes"]["output"] == "about life"
    assert "a question" in str(recording.events("llm.called")[0]["attributes"]["input"])


def test_a_run_within_one_of_runfold_is_a_sub_run(recording: Recording, provider: Provider) -> None:
    provider.script = [{"content": "done"}]
    with recording.client.run("mine") as outer:
        run(Agent("planner", model=provider.model))
    started = {each["agent_name"]: each for each in recording.events("run.started")}
    assert started["Agent workflow"]["parent_run_id"] == outer.run_id


def test_a_failing_tool_fails_the_agent_and_is_raised_once(
    recording: Recording, provider: Provider
) -> None:
    provider.script = [calls("fail")]
    with suppress(UserError):
        run(Agent("planner", model=provider.model, tools=[fail]))
    (error,) = recording.events("error.raised")
    assert (error["error_type"], error["error_message"]) == ("Error running tool", "nothing found")
    assert recording.events("tool.ended")[0]["status"] == "failure"
    assert {each["status"] for each in recording.events("run.ended")} == {"failure"}


def test_a_model_that_is_away_is_a_call_that_failed(
    recording: Recording, provider: Provider
) -> None:
    with suppress(APIError):
        run(Agent("planner", model=provider.model))
    assert recording.events("llm.called")[0]["status"] == "failure"
    assert len(recording.events("error.raised")) == 1
    assert {each["status"] for each in recording.events("run.ended")} == {"failure"}


def test_a_guardrail_that_trips_is_a_decision_and_fails_the_run(
    recording: Recording, provider: Provider
) -> None:
    provider.script = [{"content": "done"}]
    with suppress(InputGuardrailTripwireTriggered):
        run(Agent("planner", model=provider.model, input_guardrails=[guardrail(trips=True)]))
    assert recording.events("decision.made")[0]["decision"] == "tripped"
    (error,) = recording.events("error.raised")
    assert (error["error_type"], error["error_message"]) == (
        "Guardrail tripwire triggered",
        "guardrail: polite",
    )
    assert {each["status"] for each in recording.events("run.ended")} == {"failure"}


def test_too_many_turns_fail_the_run(recording: Recording, provider: Provider) -> None:
    provider.script = [calls("search", '{"query": "x"}')]
    with suppress(MaxTurnsExceeded):
        run(Agent("planner", model=provider.model, tools=[search]), max_turns=1)
    assert recording.events("error.raised")[0]["error_type"] == "Max turns exceeded"
    assert {each["status"] for each in recording.events("run.ended")} == {"failure"}


def test_an_agent_that_recovers_ends_well(recording: Recording, provider: Provider) -> None:
    with trace("both"):
        with suppress(APIError):
            run(Agent("planner", model=provider.model))
        provider.script = [{"content": "done"}]
        run(Agent("planner", model=provider.model))
    ended = {each["run_id"]: each["status"] for each in recording.events("run.ended")}
    started = {each["agent_name"]: each["run_id"] for each in recording.events("run.started")}
    assert ended[started["both"]] == "success"


def test_spans_of_the_programs_own_are_recorded(recording: Recording) -> None:
    with trace("mine"), custom_span("step", {"n": 1}):
        pass
    (span,) = recording.events("span.ended")
    assert (span["name"], span["attributes"]) == ("step", {"data": {"n": 1}})


def test_the_processor_never_raises_and_flushes(recording: Recording) -> None:
    processor = RunfoldTracingProcessor(recording.client)
    processor.on_span_end(None)  # type: ignore[arg-type]
    processor.on_trace_start(7)  # type: ignore[arg-type]
    recording.client.event("r", "custom")
    processor.force_flush()
    assert len(recording.log.events) == 1
    processor.shutdown()
