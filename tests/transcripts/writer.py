"""Writes transcripts as Claude Code does, line by line."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 1, 10, 9, 0, tzinfo=UTC)
NAMESPACE = uuid.UUID("5f0e2c1e-8e54-4b6c-9f5e-2f6d3f1c0a11")

Line = dict[str, Any]


class Transcript:
    """The lines of one session, with a clock of its own. Units: `seconds` since the last line."""

    def __init__(self, session: str, *, at: datetime = START, **common: Any) -> None:
        self.session = session
        self.now = at
        self.lines: list[Line] = []
        self._common = {"cwd": "/home/dev/shop", "gitBranch": "main", "version": "2.1.7", **common}
        self._parent: str | None = None

    def line(self, kind: str, *, seconds: float = 1, **fields: Any) -> Line:
        """Add a line of any type."""
        self.now += timedelta(seconds=seconds)
        made = {
            "parentUuid": self._parent,
            "isSidechain": False,
            "userType": "external",
            "sessionId": self.session,
            **self._common,
            "type": kind,
            "uuid": str(uuid.uuid5(NAMESPACE, f"{self.session}/{len(self.lines)}")),
            "timestamp": self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **fields,
        }
        self._parent = made["uuid"]
        self.lines.append(made)
        return made

    def prompt(self, text: str, **fields: Any) -> Line:
        """Add what a user typed."""
        return self.line("user", message={"role": "user", "content": text}, **fields)

    def says(
        self,
        message: str,
        block: dict[str, Any] | str,
        *,
        usage: tuple[int, int, int, int] = (3, 10, 100, 20),
        stop: str | None = "end_turn",
        **fields: Any,
    ) -> Line:
        """Add one line of the API message `message`; usage is input, output, read, written."""
        content = {"type": "text", "text": block} if isinstance(block, str) else block
        made = {
            "id": f"msg_{message}",
            "type": "message",
            "role": "assistant",
            "model": fields.pop("model", "claude-sonnet-4-5-20250929"),
            "content": [content],
            "stop_reason": stop,
            "usage": {
                "input_tokens": usage[0],
                "output_tokens": usage[1],
                "cache_read_input_tokens": usage[2],
                "cache_creation_input_tokens": usage[3],
            },
        }
        return self.line("assistant", message=made, **{"requestId": f"req_{message}", **fields})

    def tool(self, message: str, tool_id: str, name: str = "Bash", **fields: Any) -> Line:
        """Add a line of `message` that calls a tool."""
        given = fields.pop("input", {"command": "make test"})
        block = {"type": "tool_use", "id": f"toolu_{tool_id}", "name": name, "input": given}
        return self.says(message, block, stop=fields.pop("stop", "tool_use"), **fields)

    def result(self, tool_id: str, text: str = "ok", *, error: bool = False, **fields: Any) -> Line:
        """Add the result of a tool."""
        block = {
            "type": "tool_result",
            "tool_use_id": f"toolu_{tool_id}",
            "content": text,
            "is_error": error,
        }
        return self.line("user", message={"role": "user", "content": [block]}, **fields)

    def copy_of(self, lines: Iterable[Line], **changed: Any) -> None:
        """Repeat lines of another session under this session's id."""
        self.lines += [{**each, "sessionId": self.session, **changed} for each in lines]

    def save(self, folder: Path, name: str | None = None) -> Path:
        """Write the file and return its path."""
        path = folder / f"{name or self.session}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(each) + "\n" for each in self.lines))
        return path


def forked(lines: Iterable[Line], *, new_ids: bool = False) -> list[Line]:
    """Return copies that say which lines they repeat, as `/branch` and the SDK make them."""
    copies = []
    for each in lines:
        origin = {"sessionId": each["sessionId"], "messageUuid": each["uuid"]}
        copy = {**each, "forkedFrom": origin}
        if new_ids:
            copy["uuid"] = str(uuid.uuid5(NAMESPACE, f"fork of {each['uuid']}"))
        copies.append(copy)
    return copies
