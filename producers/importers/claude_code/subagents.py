"""Which sub-agent a line belongs to, and which tool call started it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runfold.producers.importers.claude_code.entries import Entry
from runfold.producers.importers.claude_code.prompts import texts_of
from runfold.producers.importers.claude_code.session_index import AGENT_FILE_PREFIX
from runfold.producers.importers.claude_code.units import RunInfo, Tool
from runfold.producers.importers.lines import BadLine

AGENT_TOOLS = frozenset({"Task", "Agent"})
_ROOT_CHARACTERS = 8
_META_FIELDS = ("agentType", "description", "toolUseId")


class Sidechains:
    """Sub-agents whose lines stand in the session's own file (Claude Code 1.x).

    They have no id there: each is named after its first line, and belongs to the tool call that
    gave it its prompt.
    """

    def __init__(self) -> None:
        self._roots: dict[str, str] = {}
        self._waiting: dict[tuple[str, str], list[tuple[RunInfo, Tool]]] = {}
        self._children: dict[tuple[str, str], RunInfo] = {}

    def agent_id(self, entry: Entry, uuid: str) -> str:
        """Return the name of the sub-agent that wrote `entry`; `uuid` is that of its original."""
        parent = entry.raw.get("parentUuid")
        root = self._roots.get(parent or "", uuid[:_ROOT_CHARACTERS])
        self._roots[entry.uuid] = root
        return root

    def expect(self, run: RunInfo, tool: Tool) -> None:
        """Remember a tool call that starts a sub-agent."""
        prompt = tool.input.get("prompt")
        if isinstance(prompt, str):
            self._waiting.setdefault((run.session_id, prompt), []).append((run, tool))

    def began(self, child: RunInfo, entry: Entry) -> None:
        """Link `child` to the call that gave it the prompt that is its first line."""
        prompt = next(iter(texts_of(entry.blocks)), "")
        waiting = self._waiting.get((child.session_id, prompt))
        if waiting:
            parent, tool = waiting.pop(0)
            link(child, parent, tool)
            self._children[child.session_id, tool.tool_id] = child

    def child_of(self, session_id: str, tool: Tool) -> RunInfo | None:
        """Return the sub-agent that `tool` started."""
        return self._children.get((session_id, tool.tool_id))


def agent_of_file(entry: Entry, path: Path) -> str | None:
    """Return the sub-agent that a line names, or that its file is named after."""
    in_agent_file = path.stem.startswith(AGENT_FILE_PREFIX)
    if entry.agent_id and (entry.sidechain or in_agent_file):
        return entry.agent_id
    return path.stem.removeprefix(AGENT_FILE_PREFIX) if in_agent_file else None


def link(child: RunInfo, parent: RunInfo, tool: Tool) -> None:
    """Note which run and which tool call `child` was started by, and as what."""
    child.parent_run_id = parent.run_id
    child.parent_tool_id = tool.tool_id
    child.agent_type = _text(tool.input, "subagent_type") or child.agent_type
    child.description = _text(tool.input, "description") or child.description


def read_meta(path: Path, child: RunInfo) -> BadLine | None:
    """Take what the `.meta.json` beside an agent's file says, where there is one."""
    beside = path.with_suffix(".meta.json")
    try:
        meta = json.loads(beside.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return BadLine(beside, 1, f"not readable as JSON: {error}")
    if not isinstance(meta, dict) or any(
        not isinstance(meta.get(name, ""), str | None) for name in _META_FIELDS
    ):
        return BadLine(beside, 1, "not an object of texts")
    child.agent_type = child.agent_type or _text(meta, "agentType")
    child.description = child.description or _text(meta, "description")
    child.parent_tool_id = child.parent_tool_id or _text(meta, "toolUseId")
    return None


def _text(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value else None
