"""What the attributes of a span mean: OpenTelemetry's `gen_ai.*` and OpenInference's names.

Source: OpenTelemetry's semantic conventions for generative AI, with the names that they had before
and those of OpenLLMetry; OpenInference's semantic conventions. Pure, and used for spans of this
process and for those that a collector takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple


class SpanKind(StrEnum):
    """What a span tells of."""

    AGENT = "agent"
    LLM = "llm"
    TOOL = "tool"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SpanMeaning:
    """A span in runfold's words.

    Shape: `columns` are fields of `Event`; `attributes` all that has no column.
    """

    kind: SpanKind
    columns: dict[str, Any]
    attributes: dict[str, Any]


class _Candidate(NamedTuple):
    """A column that an attribute may fill; of several the one of the lowest rank does."""

    column: str
    rank: int
    wanted: tuple[type, ...]


def _by_name(columns: Mapping[str, tuple[str, ...]], *wanted: type) -> dict[str, _Candidate]:
    return {
        name: _Candidate(column, rank, wanted)
        for column, names in columns.items()
        for rank, name in enumerate(names)
    }


_KIND_NAMES: dict[str, dict[str, SpanKind]] = {
    "gen_ai.operation.name": {
        "chat": SpanKind.LLM,
        "text_completion": SpanKind.LLM,
        "generate_content": SpanKind.LLM,
        "embeddings": SpanKind.LLM,
        "execute_tool": SpanKind.TOOL,
        "invoke_agent": SpanKind.AGENT,
        "invoke_workflow": SpanKind.AGENT,
    },
    "openinference.span.kind": {
        "llm": SpanKind.LLM,
        "embedding": SpanKind.LLM,
        "tool": SpanKind.TOOL,
        "agent": SpanKind.AGENT,
    },
    "traceloop.span.kind": {
        "workflow": SpanKind.AGENT,
        "agent": SpanKind.AGENT,
        "tool": SpanKind.TOOL,
    },
    "llm.request.type": {
        "chat": SpanKind.LLM,
        "completion": SpanKind.LLM,
        "embedding": SpanKind.LLM,
    },
}

_EMBEDDINGS = frozenset({"embedding", "embeddings"})

_TEXTS = _by_name(
    {
        "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
        "model": (
            "gen_ai.response.model",
            "gen_ai.request.model",
            "llm.model_name",
            "embedding.model_name",
        ),
        "tool_name": ("gen_ai.tool.name", "tool.name"),
        "agent_name": ("gen_ai.agent.name", "gen_ai.workflow.name", "agent.name"),
        "agent_version": ("gen_ai.agent.version",),
        "session_id": ("gen_ai.conversation.id", "session.id"),
        "user_id": ("user.id", "enduser.id"),
        "error_type": ("error.type",),
    },
    str,
)

_SPENT = _by_name(
    {
        "input_tokens": (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
        ),
        "output_tokens": (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
        ),
        "cache_read_tokens": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
        ),
        "reasoning_tokens": (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
        ),
        "cost_usd": ("gen_ai.usage.cost", "operation.cost", "llm.cost.total"),
    },
    int,
    float,
)

_ENTITY = "traceloop.entity.name"
_LAST = 99
_COLUMNS = {
    SpanKind.AGENT: _TEXTS | {_ENTITY: _Candidate("agent_name", _LAST, (str,))},
    SpanKind.LLM: _TEXTS | _SPENT,
    SpanKind.TOOL: _TEXTS | {_ENTITY: _Candidate("tool_name", _LAST, (str,))},
    SpanKind.OTHER: _TEXTS,
}
"""What each kind of span fills. Only a model's own span spends."""

_RESOURCE_TEXTS = _by_name(
    {
        "agent_name": ("service.name",),
        "agent_version": ("service.version",),
        "project": ("service.namespace",),
        "environment": ("deployment.environment.name", "deployment.environment"),
        "host": ("host.name",),
    },
    str,
)

_CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.retrieval.",
    "gen_ai.content.",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "input.value",
    "output.value",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompt",
    "llm.choices",
    "llm.function_call",
    "llm.tools",
    "tool.parameters",
    "embedding.embeddings",
    "retrieval.documents",
    "reranker.",
)


def meaning_of(
    attributes: Mapping[str, Any], *, kind: SpanKind | None = None, with_content: bool = False
) -> SpanMeaning:
    """Return what a span of these attributes tells; its `kind` where something else tells that.

    Shape: only a model's own span spends: what agents and chains say of tokens and cost is a sum of
    the spans below them, and stays in the attributes. Without `with_content`, prompts, answers,
    documents and the arguments and results of tools are left out.
    """
    kind = kind_of(attributes) if kind is None else kind
    if with_content:
        rest = dict(attributes)
    else:
        rest = {name: value for name, value in attributes.items() if not is_content(name)}
    return SpanMeaning(kind, with_fresh_input(_taken(rest, _COLUMNS[kind])), rest)


def kind_of(attributes: Mapping[str, Any]) -> SpanKind:
    """Return what kind of span has these attributes."""
    for name, kinds in _KIND_NAMES.items():
        word = attributes.get(name)
        if isinstance(word, str) and word.lower() in kinds:
            return kinds[word.lower()]
    return SpanKind.LLM if _is_call_without_a_kind(attributes) else SpanKind.OTHER


def has_generated(attributes: Mapping[str, Any]) -> bool:
    """Say whether a model's span tells what it spent on more than an embedding."""
    words = {str(attributes.get(name)).lower() for name in _KIND_NAMES}
    return _spends(attributes) and words.isdisjoint(_EMBEDDINGS)


def _spends(attributes: Mapping[str, Any]) -> bool:
    return not _SPENT.keys().isdisjoint(attributes)


def _is_call_without_a_kind(attributes: Mapping[str, Any]) -> bool:
    """Say whether a span calls a model and names no kind at all, as before version 1.27.

    Source: OpenTelemetry's conventions 1.24 to 1.26, and the AI SDK of Vercel.
    """
    has_model = "gen_ai.request.model" in attributes or "gen_ai.response.model" in attributes
    return has_model and _spends(attributes) and _KIND_NAMES.keys().isdisjoint(attributes)


def with_fresh_input(spent: dict[str, Any]) -> dict[str, Any]:
    """Return tokens with `input_tokens` less those that a cache read or wrote.

    Both conventions count them into the input; runfold's five kinds are apart. Where they are more
    than the input, who counted did so apart as well.
    """
    total = spent.get("input_tokens")
    cached = (spent.get("cache_read_tokens") or 0) + (spent.get("cache_write_tokens") or 0)
    if total is None or cached > total:
        return spent
    return {**spent, "input_tokens": total - cached}


def resource_columns(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a resource says of the runs of its process."""
    return _taken(dict(attributes), _RESOURCE_TEXTS)


@lru_cache(maxsize=4096)
def is_content(name: str) -> bool:
    """Say whether an attribute holds what was said, and not what happened."""
    return name.startswith(_CONTENT)


def _taken(rest: dict[str, Any], names: dict[str, _Candidate]) -> dict[str, Any]:
    """Take each column's first name that is there out of `rest`."""
    best: dict[str, tuple[int, str]] = {}
    for name in [each for each in rest if each in names]:
        column, rank, wanted = names[name]
        value = rest[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            continue
        if column not in best or rank < best[column][0]:
            best[column] = rank, name
    return {column: rest.pop(name) for column, (_, name) in best.items()}
