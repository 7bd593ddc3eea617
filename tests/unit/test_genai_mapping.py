"""What the attributes of a span mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.producers.genai_mapping import (
    SpanKind,
    kind_of,
    meaning_of,
    resource_columns,
    with_fresh_input,
)


@pytest.mark.parametrize(
    ("name", "word", "kind"),
    [
        ("gen_ai.operation.name", "chat", SpanKind.LLM),
        ("gen_ai.operation.name", "embeddings", SpanKind.LLM),
        ("gen_ai.operation.name", "execute_tool", SpanKind.TOOL),
        ("gen_ai.operation.name", "invoke_agent", SpanKind.AGENT),
        ("gen_ai.operation.name", "create_agent", SpanKind.OTHER),
        ("openinference.span.kind", "LLM", SpanKind.LLM),
        ("openinference.span.kind", "TOOL", SpanKind.TOOL),
        ("openinference.span.kind", "AGENT", SpanKind.AGENT),
        ("openinference.span.kind", "CHAIN", SpanKind.OTHER),
        ("traceloop.span.kind", "workflow", SpanKind.AGENT),
        ("llm.request.type", "chat", SpanKind.LLM),
        ("http.request.method", "GET", SpanKind.OTHER),
        ("gen_ai.operation.name", 7, SpanKind.OTHER),
    ],
)
def test_the_kind_of_a_span(name: str, word: Any, kind: SpanKind) -> None:
    assert kind_of({name: word}) is kind


def test_a_call_of_a_model_that_names_no_kind_is_one_by_what_it_spent() -> None:
    of_1_26 = {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.usage.prompt_tokens": 7,
        "gen_ai.usage.completion_tokens": 3,
    }
    columns = meaning_of(of_1_26).columns
    assert kind_of(of_1_26) is SpanKind.LLM
    assert (columns["input_tokens"], columns["output_tokens"]) == (7, 3)
    assert kind_of({**of_1_26, "gen_ai.operation.name": "create_agent"}) is SpanKind.OTHER
    assert kind_of({**of_1_26, "openinference.span.kind": "CHAIN"}) is SpanKind.OTHER
    assert kind_of({"gen_ai.request.model": "gpt-4"}) is SpanKind.OTHER
    assert kind_of({"gen_ai.usage.input_tokens": 7}) is SpanKind.OTHER


def test_a_model_call_by_the_names_of_opentelemetry() -> None:
    meaning = meaning_of(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude",
            "gen_ai.response.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 700,
            "gen_ai.usage.cache_creation.input_tokens": 100,
            "gen_ai.conversation.id": "c1",
            "gen_ai.request.temperature": 0.5,
            "error.type": "timeout",
        }
    )
    assert meaning.columns == {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "input_tokens": 200,
        "output_tokens": 50,
        "cache_read_tokens": 700,
        "cache_write_tokens": 100,
        "session_id": "c1",
        "error_type": "timeout",
    }
    assert meaning.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "claude",
        "gen_ai.request.temperature": 0.5,
    }


def test_a_model_call_by_the_names_of_openinference() -> None:
    meaning = meaning_of(
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "llm.model_name": "gpt-5",
            "llm.token_count.prompt": 90,
            "llm.token_count.prompt_details.cache_read": 40,
            "llm.token_count.completion": 30,
            "llm.token_count.completion_details.reasoning": 20,
            "llm.cost.total": 0.25,
            "session.id": "s",
            "user.id": "u",
        }
    )
    assert meaning.columns == {
        "provider": "openai",
        "model": "gpt-5",
        "input_tokens": 50,
        "cache_read_tokens": 40,
        "output_tokens": 30,
        "reasoning_tokens": 20,
        "cost_usd": 0.25,
        "session_id": "s",
        "user_id": "u",
    }
    assert meaning.attributes == {"openinference.span.kind": "LLM"}


def test_the_names_of_before_are_known() -> None:
    meaning = meaning_of(
        {
            "llm.request.type": "chat",
            "gen_ai.system": "openai",
            "gen_ai.usage.prompt_tokens": 9,
            "gen_ai.usage.completion_tokens": 3,
        }
    )
    assert meaning.columns == {"provider": "openai", "input_tokens": 9, "output_tokens": 3}


def test_what_an_agent_says_of_tokens_is_a_sum_and_counts_nothing() -> None:
    summed = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9}
    meaning = meaning_of({**summed, "gen_ai.agent.name": "planner"})
    assert meaning.columns == {"agent_name": "planner"}
    assert meaning.attributes == summed


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.input.messages",
        "gen_ai.prompt.0.content",
        "gen_ai.tool.call.arguments",
        "llm.input_messages.0.message.content",
        "input.value",
        "output.value",
        "retrieval.documents.0.document.content",
        "traceloop.entity.input",
    ],
)
def test_content_is_left_out_unless_asked_for(name: str) -> None:
    assert meaning_of({name: "secret"}).attributes == {}
    assert meaning_of({name: "secret"}, with_content=True).attributes == {name: "secret"}


def test_cached_tokens_that_were_counted_apart_are_not_taken_off() -> None:
    assert with_fresh_input({"input_tokens": 5, "cache_read_tokens": 900})["input_tokens"] == 5


def test_a_value_of_the_wrong_type_stays_an_attribute() -> None:
    odd = {"openinference.span.kind": "LLM", "llm.token_count.prompt": "9", "llm.cost.total": True}
    assert meaning_of(odd).columns == {}
    assert meaning_of(odd).attributes == odd


def test_a_resource_names_the_agent_and_where_it_runs() -> None:
    assert resource_columns(
        {"service.name": "s", "deployment.environment": "prod", "host.name": "h", "other": 1}
    ) == {"agent_name": "s", "environment": "prod", "host": "h"}


_NAMES = st.sampled_from(
    ["gen_ai.operation.name", "llm.model_name", "gen_ai.usage.input_tokens", "session.id", "other"]
)


@given(st.dictionaries(_NAMES, st.text() | st.integers() | st.floats() | st.booleans()))
def test_an_attribute_is_in_a_column_or_stays(attributes: dict[str, Any]) -> None:
    meaning = meaning_of(attributes)
    assert len(meaning.columns) + len(meaning.attributes) == len(attributes)
