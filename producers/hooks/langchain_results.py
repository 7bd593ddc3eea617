"""What LangChain's model results say of the model and its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runfold.producers.genai_mapping import with_fresh_input


def answer_columns(response: Any) -> dict[str, Any]:
    """Return provider, model and tokens of an `LLMResult`, as far as it tells.

    Shape: chat models tell in each message, some others in `llm_output`.
    """
    messages = [message for message in _messages(response) if message is not None]
    columns: dict[str, Any] = {}
    for message in messages:
        said = getattr(message, "response_metadata", None) or {}
        columns.setdefault("provider", said.get("model_provider"))
        columns.setdefault("model", said.get("model_name") or said.get("model"))
        for name, count in _tokens(getattr(message, "usage_metadata", None)).items():
            columns[name] = columns.get(name, 0) + count
    output = getattr(response, "llm_output", None) or {}
    columns["model"] = columns.get("model") or output.get("model_name") or output.get("model")
    if "input_tokens" not in columns and "output_tokens" not in columns:
        columns |= _tokens(output.get("token_usage") or output.get("usage"))
    return with_fresh_input({name: value for name, value in columns.items() if value is not None})


def _messages(response: Any) -> list[Any]:
    """Return one message of each prompt: all candidates of a prompt share one count of tokens."""
    generations = getattr(response, "generations", None) or []
    return [getattr(each[0], "message", None) for each in generations if each]


def _tokens(usage: Any) -> dict[str, int]:
    if not isinstance(usage, Mapping):
        return {}
    read, written = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    found = {
        "input_tokens": usage.get("input_tokens", usage.get("prompt_tokens")),
        "output_tokens": usage.get("output_tokens", usage.get("completion_tokens")),
        "cache_read_tokens": read.get("cache_read"),
        "cache_write_tokens": read.get("cache_creation"),
        "reasoning_tokens": written.get("reasoning"),
    }
    return {name: count for name, count in found.items() if isinstance(count, int)}
