"""How a tool call ended."""

from __future__ import annotations

from typing import Any

from runfold.producers.importers.claude_code.prompts import INPUT_CHARACTERS, shortened, texts_of
from runfold.producers.importers.claude_code.units import Tool
from runfold.schemas.vocabulary import RunStatus

_DENIALS = {
    "The user doesn't want to proceed with this tool use": "the user rejected it",
    "The user doesn't want to take this action right now": "the user rejected it",
    "User rejected tool use": "the user rejected it",
    "Permission to use ": "a permission rule denies it",
    "This command requires approval": "it needed an approval that nobody gave",
}


def end_tool(tool: Tool, block: dict[str, Any], result: object, *, at_us: int) -> None:
    """Take into `tool` what its tool_result `block` says; the first result counts.

    Shape: `result` is the line's `toolUseResult`, whatever it is.
    """
    if tool.ended_at is not None and tool.ended_at <= at_us:
        return
    text = " ".join(texts_of(block.get("content")))
    details = result if isinstance(result, dict) else {}
    failed = block.get("is_error") is True
    tool.denial = _denial(text) if failed else None
    if tool.denial or details.get("interrupted") is True:
        status = RunStatus.CANCELLED
    else:
        status = RunStatus.FAILURE if failed else RunStatus.SUCCESS
    tool.ended_at = at_us
    tool.status = status.value
    tool.error = shortened(text, INPUT_CHARACTERS) if failed else None
    tool.duration_ms = _milliseconds(details, tool.started_at, at_us)


def _denial(text: str) -> str | None:
    return next((why for begin, why in _DENIALS.items() if text.startswith(begin)), None)


def _milliseconds(details: dict[str, Any], started_at: int, ended_at: int) -> float:
    for name in ("durationMs", "totalDurationMs"):
        value = details.get(name)
        if value.__class__ in (int, float) and value >= 0:
            return float(value)
    return max(ended_at - started_at, 0) / 1000


def finished_agent(result: object) -> tuple[str, bool] | None:
    """Return the sub-agent that a result names and whether it has finished, None without one."""
    if not isinstance(result, dict):
        return None
    agent_id = result.get("agentId")
    if not isinstance(agent_id, str) or not agent_id:
        return None
    return agent_id, result.get("status") in (None, "completed")
