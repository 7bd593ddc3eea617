"""The units that transcripts are made of: API messages with their tools, and single lines.

A unit is what a fork or a resumed session repeats as a whole, so it has one owner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from runfold.producers.importers.prices import Usage

EVENT_ID_PREFIX = "cc-"
Ending = Literal["error", "interrupted"]


@dataclass(slots=True)
class Tool:
    """One tool call. Units: times in microseconds since 1970 UTC, `duration_ms` milliseconds."""

    tool_id: str
    name: str
    started_at: int
    input: dict[str, Any]
    ended_at: int | None = None
    status: str | None = None
    duration_ms: float | None = None
    error: str | None = None
    denial: str | None = None


@dataclass(slots=True)
class Message:
    """One API message, merged from all of its lines."""

    model: str
    usage: Usage
    finished: bool
    cost_usd: float | None
    request_id: str | None
    tools: dict[str, Tool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """An event that one line is by itself, but for its id, run and time."""

    suffix: str
    fields: dict[str, Any]


@dataclass(slots=True)
class Unit:
    """An API message, or one other line.

    Shape: `claims` are the runs whose files hold it; `marks` the lines it consists of with their
    times; `ending` what it would mean if the run ended here; `neutral` if it would mean nothing.
    """

    key: str
    claims: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)
    message: Message | None = None
    note: Note | None = None
    ending: Ending | None = None
    neutral: bool = False

    @property
    def first_at(self) -> int:
        """When its first line was written."""
        return min(self.marks.values())

    @property
    def last_at(self) -> int:
        """When its last line was written."""
        return max(self.marks.values())

    def event_ids(self) -> list[str]:
        """Return the ids of all events that may come of this unit."""
        if self.message is None:
            return [] if self.note is None else [self.note_id]
        tools = self.message.tools
        return [self.call_id, *(self.tool_event_id(tool_id, "start") for tool_id in tools)]

    @property
    def call_id(self) -> str:
        """The id of the `llm.called` of a message."""
        return EVENT_ID_PREFIX + self.key

    @property
    def note_id(self) -> str:
        """The id of the event of a single line."""
        suffix = self.note.suffix if self.note else "line"
        return f"{EVENT_ID_PREFIX}{self.key}-{suffix}"

    def tool_event_id(self, tool_id: str, what: str) -> str:
        """Return the id of an event of a tool call; the key makes it unique where ids repeat."""
        return f"{EVENT_ID_PREFIX}{self.key}-{tool_id}-{what}"


@dataclass(slots=True)
class RunInfo:
    """What the lines of one run say of it.

    Shape: `agent_id` is None for a session itself. `native` if lines of its own were read, not
    only copies in a fork. `completed` are ends that the parent run saw: when, the tool call, and
    the status. Units: times in microseconds since 1970 UTC.
    """

    run_id: str
    session_id: str
    agent_id: str | None
    native: bool = False
    cwd: str | None = None
    git_branch: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    agent_type: str | None = None
    description: str | None = None
    parent_run_id: str | None = None
    parent_tool_id: str | None = None
    forked_from: str | None = None
    first_prompt: str | None = None
    title: str | None = None
    modified_ns: int = -1
    completed: list[tuple[int, str, str]] = field(default_factory=list)


def run_id_of(session_id: str, agent_id: str | None) -> str:
    """Return the run of a session, which is its id, or of one of its sub-agents."""
    return session_id if agent_id is None else f"{session_id}.agent-{agent_id}"
