"""LangChain's own runnables, models and tools, recorded by the callback handler."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import CallbackManagerForRetrieverRun, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, FakeListLLM, GenericFakeChatModel
from langchain_core.language_models.llms import create_base_retry_decorator
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from runfold.producers.hooks.langchain import RunfoldCallbackHandler
from tests.recording import Recording

ANSWER = AIMessage(
    "forty-two",
    usage_metadata={
        "input_tokens": 10,
        "output_tokens": 3,
        "total_tokens": 13,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 1},
    },
    response_metadata={"model_name": "gpt-5", "model_provider": "openai"},
)


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


def config_of(recording: Recording, *, content: bool = False, **more: Any) -> RunnableConfig:
    """Return what makes LangChain tell the handler."""
    handler = RunfoldCallbackHandler(recording.client, content=content)
    return {"callbacks": [handler], **more}  # type: ignore[typeddict-item]


def model() -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([ANSWER] * 9))


class Streaming(GenericFakeChatModel):
    """Tells its tokens with the last part of the answer, as providers do."""

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for text in ("forty", "-two"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=ANSWER.usage_metadata)
        )


@tool
def search(query: str) -> str:
    """Search the web."""
    if query == "nothing":
        raise LookupError("nothing found")
    return f"about {query}"


def chain() -> Runnable[Any, Any]:
    prompt = ChatPromptTemplate.from_template("about {topic}")
    return prompt | model() | RunnableLambda(lambda answer: search.invoke(answer.content))


def check_of_a_chain(recording: Recording) -> None:
    (started,), (ended,) = recording.events("run.started"), recording.events("run.ended")
    assert {each["run_id"] for each in recording.events()} == {started["run_id"]}
    assert (started["agent_name"], ended["status"]) == ("RunnableSequence", "success")
    (called,) = recording.events("llm.called")
    assert (called["provider"], called["model"], called["status"]) == ("openai", "gpt-5", "success")
    assert (called["input_tokens"], called["cache_read_tokens"]) == (6, 4)
    assert (called["output_tokens"], called["reasoning_tokens"]) == (3, 1)
    assert called["parent_span_id"] == started["span_id"]
    begun, done = recording.events("tool.started")[0], recording.events("tool.ended")[0]
    assert (begun["tool_name"], done["tool_name"], done["status"]) == ("search",) * 2 + ("success",)
    assert begun["span_id"] == done["span_id"]
    steps = {each["name"]: each for each in recording.events("span.ended")}
    assert set(steps) == {"ChatPromptTemplate", "RunnableLambda"}
    assert begun["parent_span_id"] == steps["RunnableLambda"]["span_id"]


def test_a_chain_is_a_run_with_its_model_calls_tools_and_steps(recording: Recording) -> None:
    chain().invoke({"topic": "life"}, config_of(recording))
    check_of_a_chain(recording)
    assert "forty-two" not in str(recording.events())


def test_the_same_is_recorded_of_async_calls(recording: Recording) -> None:
    asyncio.run(chain().ainvoke({"topic": "life"}, config_of(recording)))
    check_of_a_chain(recording)


def test_a_streamed_answer_is_one_call_with_its_tokens(recording: Recording) -> None:
    async def read() -> list[Any]:
        model = Streaming(messages=iter([ANSWER]))
        return [each async for each in model.astream("life", config_of(recording))]

    assert len(asyncio.run(read())) > 2
    (called,) = recording.events("llm.called")
    assert (called["input_tokens"], called["output_tokens"]) == (6, 3)


def test_a_model_alone_is_a_run_that_counts_its_tokens_once(recording: Recording) -> None:
    model().invoke("life", config_of(recording))
    assert recording.types() == ["run.started", "llm.called", "run.ended"]
    assert sum(each.get("output_tokens", 0) for each in recording.events()) == 3


@pytest.mark.parametrize("one", [FakeListLLM(responses=["a"]), FakeListChatModel(responses=["a"])])
def test_a_model_that_tells_no_tokens_is_recorded_too(recording: Recording, one: Any) -> None:
    one.invoke("life", config_of(recording))
    (called,) = recording.events("llm.called")
    assert called["provider"] in ("fakelist", "fakelistchatmodel")
    assert "input_tokens" not in called


def test_what_was_said_is_recorded_where_it_is_asked_for(recording: Recording) -> None:
    chain().invoke({"topic": "life"}, config_of(recording, content=True))
    assert "about life" in str(recording.events("llm.called")[0]["attributes"]["input"])
    assert "forty-two" in str(recording.events("llm.called")[0]["attributes"]["output"])
    assert recording.events("tool.started")[0]["attributes"]["input"] == "forty-two"
    assert "about forty-two" in str(recording.events("tool.ended")[0]["attributes"]["output"])


def test_calls_within_a_run_of_runfold_belong_to_it(recording: Recording) -> None:
    with recording.client.run("mine") as run:
        chain().invoke({"topic": "life"}, config_of(recording))
    assert {each["run_id"] for each in recording.events()} == {run.run_id}
    assert len(recording.events("run.started")) == 1


def test_parallel_steps_belong_to_one_run(recording: Recording) -> None:
    RunnableParallel(a=model(), b=model()).invoke("life", config_of(recording))
    assert len(recording.events("llm.called")) == 2
    assert len({each["run_id"] for each in recording.events()}) == 1


def test_a_named_agent_below_another_is_a_sub_run(recording: Recording) -> None:
    writer = (model() | RunnableLambda(str)).with_config(metadata={"lc_agent_name": "writer"})

    def ask_writer(topic: str) -> str:
        # as a tool would: of an agent that is a step of another LangChain loses the name
        return writer.invoke(topic)

    RunnableLambda(ask_writer).with_config(metadata={"lc_agent_name": "planner"}).invoke(
        "life", config_of(recording, metadata={"thread_id": "t1"})
    )
    runs = {each["agent_name"]: each for each in recording.events("run.started")}
    assert set(runs) == {"planner", "writer"}
    assert runs["writer"]["parent_run_id"] == runs["planner"]["run_id"]
    assert runs["planner"]["session_id"] == "t1"
    assert recording.events("llm.called")[0]["run_id"] == runs["writer"]["run_id"]


def test_an_error_is_raised_once_by_the_innermost_call(recording: Recording) -> None:
    failing = RunnableLambda(lambda _: search.invoke("nothing"))
    with suppress(LookupError):
        failing.invoke("x", config_of(recording))
    (error,) = recording.events("error.raised")
    assert (error["error_type"], error["error_message"]) == ("LookupError", "nothing found")
    assert recording.events("tool.ended")[0]["status"] == "failure"
    assert recording.events("run.ended")[0]["error_type"] == "LookupError"


def test_a_failed_model_call_is_a_call_that_failed(recording: Recording) -> None:
    failing = GenericFakeChatModel(messages=iter([]))
    with suppress(Exception):
        failing.invoke("life", config_of(recording))
    assert recording.events("llm.called")[0]["status"] == "failure"
    assert len(recording.events("error.raised")) == 1


def test_a_cancelled_call_is_no_error(recording: Recording) -> None:
    async def wait_for_ever(_: Any) -> None:
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(RunnableLambda(wait_for_ever).ainvoke("x", config_of(recording)))
        while not recording.client.counts.recorded:
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert recording.events("error.raised") == []
    assert recording.events("run.ended")[0]["status"] == "cancelled"


def test_each_try_and_each_retry_is_seen(recording: Recording) -> None:
    tries = iter([ValueError("busy"), None])

    def flaky(_: Any) -> str:
        failure = next(tries)
        if failure is not None:
            raise failure
        return "done"

    patient = RunnableLambda(flaky).with_retry(wait_exponential_jitter=False)
    patient.invoke("x", config_of(recording))
    assert len(recording.events("error.raised")) == 1
    (retry,) = recording.events("custom")
    assert (retry["name"], retry["attributes"]) == ("retry", {"attempt": "2"})
    assert recording.events("run.ended")[0]["status"] == "success"


class Flaky(FakeListLLM):
    """A model that retries by LangChain's own decorator, as those of its integrations do."""

    tries: int = 0

    def _call(self, *_: Any, run_manager: Any = None, **__: Any) -> str:
        @create_base_retry_decorator([ValueError], max_retries=2, run_manager=run_manager)
        def ask() -> str:
            self.tries += 1
            if self.tries == 1:
                raise ValueError("busy")
            return "a"

        return str(ask())


def test_a_models_own_retries_are_seen(recording: Recording, monkeypatch: Any) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    Flaky(responses=["a"]).invoke("life", config_of(recording))
    (retry,) = recording.events("custom")
    assert retry["attributes"] == {"attempt": "2", "error_type": "ValueError"}


class Shelf(BaseRetriever):
    """Finds two documents, whatever is asked."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        dispatch_custom_event(
            "looked up", {"query": query}, config={"callbacks": run_manager.get_child()}
        )
        return [Document("a"), Document("b")]


def test_retrievers_and_the_programs_own_events_are_recorded(recording: Recording) -> None:
    def look(question: str) -> Any:
        dispatch_custom_event("looking", {"for": question})
        return Shelf().invoke(question)

    RunnableLambda(look).invoke("life", config_of(recording))
    (span,) = recording.events("span.ended")
    assert (span["name"], span["attributes"]["documents"]) == ("Shelf", 2)
    events = {each["name"]: each["attributes"]["data"] for each in recording.events("custom")}
    assert events["looking"] == {"for": "life"}


def test_what_an_agent_chooses_is_a_decision(recording: Recording) -> None:
    handler = RunfoldCallbackHandler(recording.client)
    run_id = uuid4()
    handler.on_chain_start(None, {}, run_id=run_id, name="AgentExecutor")
    handler.on_agent_action(AgentAction("search", "q", "I should search"), run_id=run_id)
    handler.on_agent_finish(AgentFinish({}, "done"), run_id=run_id)
    handler.on_chain_end({}, run_id=run_id)
    decisions = recording.events("decision.made")
    assert [each["decision"] for each in decisions] == ["use search", "finish"]
    assert "I should search" not in str(decisions)


def test_the_handler_never_raises(recording: Recording) -> None:
    handler = RunfoldCallbackHandler(recording.client)
    handler.on_llm_end(None)
    handler.on_chain_start(None, None, run_id=object(), metadata=7)
    handler.on_tool_end("x", run_id="never started")
    assert recording.events("error.raised") == []
