"""A client over a log in memory, for tests of what records with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from runfold.producers import Client
from tests.memory_log import MemoryLog


class Recording:
    """A client, and what it recorded."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.log = MemoryLog()
        self.root = root
        usual = {"agent": "tester", "heartbeat_seconds": None}
        self.client = Client(journal_dir=root, publisher=self.log.open, **{**usual, **settings})

    def events(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """Return the events, of one type where it is given, with their attributes as objects."""
        assert self.client.flush(timeout=20)
        return [
            {**each, "attributes": orjson.loads(each.get("attributes", "{}"))}
            for each in self.log.events
            if event_type in (None, each["event_type"])
        ]

    def last(self) -> dict[str, Any]:
        """Return the last event."""
        return self.events()[-1]

    def types(self) -> list[str]:
        """Return the types of the events, in the order of the log."""
        return [each["event_type"] for each in self.events()]
