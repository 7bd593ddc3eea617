"""LangChain: a callback handler that records chains, agents, models and tools.

chain.invoke(question, config={"callbacks": [RunfoldCallbackHandler(client)]})
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

try:
    from langchain_core.agents import AgentAction, AgentFinish
    from langchain_core.callbacks import BaseCallbackHandler
except ImportError as error:
    raise ImportError(
        "runfold.producers.hooks.langchain needs LangChain: pip install langchain-core"
    ) from error

from runfold.producers.client import Client
from runfold.producers.genai_mapping import SpanKind
from runfold.producers.hooks.harmless import harmless
from runfold.producers.hooks.langchain_results import answer_columns
from runfold.producers.hooks.span_tree import SpanTree
from runfold.producers.hooks.spans import SpanEnd, SpanStart, error_of
from runfold.schemas.vocabulary import EventType

_SESSION_NAMES = ("session_id", "conversation_id", "thread_id")
_RETRY_TAG = "retry:attempt:"


class RunfoldCallbackHandler(BaseCallbackHandler):
    """Records what LangChain does, for sync and async calls alike.

    Shape: the outermost call is a run, an agent below it a sub-run; a model is `llm.called` with
    its tokens, a tool `tool.started` and `tool.ended`, what an agent chooses `decision.made`, any
    other step `span.ended`. See docs/hooks.md.
    """

    run_inline = True  # a call costs microseconds, and a thread would lose the current run

    def __init__(self, client: Client, *, content: bool = False) -> None:
        """Make a handler.

        Shape: with `content`, prompts, answers and what tools are given and return are recorded.
        """
        self._content = content
        self._tree = SpanTree(client)

    @harmless
    def on_chain_start(self, serialized: Any, inputs: Any, **call: Any) -> None:
        """Record the start of a run or a step."""
        agent = _agent_name(call, self._tree.agent_of(call.get("parent_run_id")))
        kind = SpanKind.OTHER if agent is None else SpanKind.AGENT
        self._begin(kind, serialized, call, {"input": inputs}, agent_name=agent)

    @harmless
    def on_chain_end(self, outputs: Any, **call: Any) -> None:
        """Record the end of a run or a step."""
        self._end(call, {"output": outputs})

    @harmless
    def on_chain_error(self, error: BaseException, **call: Any) -> None:
        """Record that a run or a step failed."""
        self._end(call, {}, error)

    @harmless
    def on_tool_start(self, serialized: Any, input_str: str, **call: Any) -> None:
        """Record the start of a tool."""
        self._begin(SpanKind.TOOL, serialized, call, {"input": call.get("inputs") or input_str})

    @harmless
    def on_tool_end(self, output: Any, **call: Any) -> None:
        """Record the end of a tool."""
        self._end(call, {"output": output})

    @harmless
    def on_tool_error(self, error: BaseException, **call: Any) -> None:
        """Record that a tool failed."""
        self._end(call, {}, error)

    @harmless
    def on_llm_start(self, serialized: Any, prompts: list[str], **call: Any) -> None:
        """Remember when a model was called."""
        self._begin(SpanKind.LLM, serialized, call, {"input": prompts}, **_model_asked(call))

    @harmless
    def on_chat_model_start(self, serialized: Any, messages: Any, **call: Any) -> None:
        """Remember when a chat model was called."""
        self._begin(SpanKind.LLM, serialized, call, {"input": messages}, **_model_asked(call))

    @harmless
    def on_llm_end(self, response: Any, **call: Any) -> None:
        """Record a model's call with its tokens."""
        self._end(call, {"output": response.generations}, columns=answer_columns(response))

    @harmless
    def on_llm_error(self, error: BaseException, **call: Any) -> None:
        """Record that a model failed, with the tokens that it is known to have used."""
        answered = answer_columns(call.get("response"))
        self._end(call, {}, error, columns=answered)

    @harmless
    def on_retriever_start(self, serialized: Any, query: str, **call: Any) -> None:
        """Remember when documents were looked for."""
        self._begin(SpanKind.OTHER, serialized, call, {"input": query})

    @harmless
    def on_retriever_end(self, documents: Any, **call: Any) -> None:
        """Record how many documents were found."""
        self._end(call, {"output": documents}, found={"documents": len(documents)})

    @harmless
    def on_retriever_error(self, error: BaseException, **call: Any) -> None:
        """Record that documents could not be looked for."""
        self._end(call, {}, error)

    @harmless
    def on_agent_action(self, action: AgentAction, **call: Any) -> None:
        """Record that an agent chose a tool."""
        self._decide(call, f"use {action.tool}", action.log)

    @harmless
    def on_agent_finish(self, finish: AgentFinish, **call: Any) -> None:
        """Record that an agent chose to finish."""
        self._decide(call, "finish", finish.log)

    @harmless
    def on_retry(self, retry_state: Any, **call: Any) -> None:
        """Record that a call is tried again."""
        outcome = retry_state.outcome
        failed = outcome.exception() if outcome is not None and outcome.failed else None
        self._retry(call["run_id"], retry_state.attempt_number + 1, failed)

    @harmless
    def on_custom_event(self, name: str, data: Any, **call: Any) -> None:
        """Record an event of the program's own."""
        attributes = {"data": data}
        self._tree.event(call["run_id"], EventType.CUSTOM, name=name, attributes=attributes)

    def _begin(
        self, kind: SpanKind, serialized: Any, call: dict[str, Any], said: Any, **columns: Any
    ) -> None:
        start = _start_of(kind, serialized, call)
        known = {name: value for name, value in columns.items() if value is not None}
        start.columns.update(known)
        start.attributes.update(said if self._content else {})
        self._tree.begin(start)
        for tag in call.get("tags") or ():
            if str(tag).startswith(_RETRY_TAG):
                self._retry(start.key, str(tag).removeprefix(_RETRY_TAG))

    def _end(
        self,
        call: dict[str, Any],
        said: dict[str, Any],
        error: BaseException | None = None,
        *,
        columns: dict[str, Any] | None = None,
        found: dict[str, Any] | None = None,
    ) -> None:
        start = self._tree.start_of(call["run_id"]) or _start_of(SpanKind.OTHER, None, call)
        end = SpanEnd(
            occurred_at=_now_us(),
            columns={**_asked(start), **(columns or {})},
            attributes={**start.attributes, **(found or {}), **(said if self._content else {})},
            error=None if error is None else error_of(error),
        )
        self._tree.end(start, end)

    def _decide(self, call: dict[str, Any], decision: str, reason: str) -> None:
        self._tree.event(
            call["run_id"],
            EventType.DECISION_MADE,
            decision=decision,
            decision_reason=reason if self._content else None,
        )

    def _retry(self, key: Any, attempt: object, failed: BaseException | None = None) -> None:
        attributes = {"attempt": str(attempt)}
        if failed is not None:
            attributes["error_type"] = type(failed).__qualname__
        self._tree.event(key, EventType.CUSTOM, name="retry", attributes=attributes)


def _start_of(kind: SpanKind, serialized: Any, call: dict[str, Any]) -> SpanStart:
    key: UUID = call["run_id"]
    parent: UUID | None = call.get("parent_run_id")
    metadata = call.get("metadata") or {}
    columns = {"span_id": str(key)}
    if parent is not None:
        columns["parent_span_id"] = str(parent)
    session = next((metadata[name] for name in _SESSION_NAMES if metadata.get(name)), None)
    if session is not None:
        columns["session_id"] = str(session)
    return SpanStart(
        key=key,
        parent=parent,
        run_id=str(key),
        kind=kind,
        name=_name(serialized, call) or str(kind),
        occurred_at=_now_us(),
        columns=columns,
        attributes=_plain({**metadata, "tags": call.get("tags")}),
    )


def _name(serialized: Any, call: dict[str, Any]) -> str | None:
    described = serialized if isinstance(serialized, dict) else {}
    path = described.get("id") or [None]
    name = call.get("name") or described.get("name") or path[-1]
    return None if name is None else str(name)


def _agent_name(call: dict[str, Any], outer: str | None) -> str | None:
    """Return the agent that a chain is; metadata are passed down, so the outermost is the agent."""
    name = (call.get("metadata") or {}).get("lc_agent_name")
    if name is not None:
        return None if name == outer else str(name)
    return call["name"] if call.get("name") == "AgentExecutor" else None


def _model_asked(call: dict[str, Any]) -> dict[str, Any]:
    metadata, params = call.get("metadata") or {}, call.get("invocation_params") or {}
    return {
        "provider": metadata.get("ls_provider"),
        "model": metadata.get("ls_model_name") or params.get("model") or params.get("model_name"),
    }


def _asked(start: SpanStart) -> dict[str, Any]:
    return {name: start.columns[name] for name in ("provider", "model") if name in start.columns}


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """Return the values that say something of a call, without LangChain's own bookkeeping."""
    kept = {name: value for name, value in given.items() if value not in (None, [], {})}
    return {name: value for name, value in kept.items() if not name.startswith(("ls_", "lc_"))}


def _now_us() -> int:
    return time.time_ns() // 1000
