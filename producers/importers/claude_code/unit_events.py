"""The events of a unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runfold.producers.importers.claude_code.notes import CONTENT
from runfold.producers.importers.claude_code.prompts import shortened_input
from runfold.producers.importers.claude_code.units import Message, Tool, Unit
from runfold.producers.importers.prices import list_prices
from runfold.schemas.vocabulary import EventType, RunStatus

Fields = dict[str, Any]


def unit_events(unit: Unit, *, complete: bool, content: bool) -> Iterator[Fields]:
    """Yield the events of `unit` without their run.

    Shape: `attributes` is still a dictionary. A message that is not `complete` has its tool
    calls but not yet the call itself, since its usage may grow and an event cannot. Without
    `content` nothing is given that a person, a model or a tool wrote.
    """
    if unit.message is not None:
        if complete:
            yield _llm_called(unit, unit.message)
        for tool in unit.message.tools.values():
            yield from _tool_events(unit, tool, content=content)
    elif unit.note is not None:
        yield _note_event(unit, unit.note.fields, content=content)


def _llm_called(unit: Unit, message: Message) -> Fields:
    usage = message.usage
    cost, attributes = message.cost_usd, {}
    if cost is None:
        prices = list_prices()
        cost = prices.cost_usd(message.model, usage)
        if cost is not None:
            attributes["cost_source"] = f"list price {prices.as_of}"
    if message.request_id:
        attributes["request_id"] = message.request_id
    claude = "claude" in message.model.lower()
    return {
        "event_id": unit.call_id,
        "event_type": EventType.LLM_CALLED.value,
        "occurred_at": unit.first_at,
        "provider": "anthropic" if claude else None,
        "model": message.model or None,
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write,
        "cost_usd": cost,
        "attributes": attributes,
    }


def _tool_events(unit: Unit, tool: Tool, *, content: bool) -> Iterator[Fields]:
    given = shortened_input(tool.input) if content else None
    common = {"tool_name": tool.name, "span_id": tool.tool_id}
    yield {
        **common,
        "event_id": unit.tool_event_id(tool.tool_id, "start"),
        "event_type": EventType.TOOL_STARTED.value,
        "occurred_at": tool.started_at,
        "attributes": {"input": given} if given else {},
    }
    if tool.ended_at is None:
        return
    if tool.denial:
        yield {
            **common,
            "event_id": unit.tool_event_id(tool.tool_id, "deny"),
            "event_type": EventType.DECISION_MADE.value,
            "occurred_at": tool.ended_at,
            "decision": "DENY",
            "decision_reason": tool.denial,
        }
    failed = tool.status == RunStatus.FAILURE.value
    yield {
        **common,
        "event_id": unit.tool_event_id(tool.tool_id, "end"),
        "event_type": EventType.TOOL_ENDED.value,
        "occurred_at": tool.ended_at,
        "status": tool.status,
        "duration_ms": tool.duration_ms,
        "error_message": tool.error if failed and content else None,
    }


def _note_event(unit: Unit, fields: Fields, *, content: bool) -> Fields:
    event = {**fields, "event_id": unit.note_id, "occurred_at": unit.first_at}
    if not content:
        event.pop("error_message", None)
        event["attributes"] = {
            name: value for name, value in fields["attributes"].items() if name != CONTENT
        }
    return event
