"""Topics as data: what each holds, who writes it, and how it is configured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as its file in `schemas/topics` describes it.

    Units: `max_event_bytes` bytes of one record's value that a worker still decodes.
    """

    name: str
    doc: str
    owner: str
    schema: str
    key: str
    partitions: int
    max_event_bytes: int
    config: dict[str, str]


@cache
def load_topic(name: str) -> Topic:
    """Return the topic of that name. Raises: FileNotFoundError where there is no such file."""
    path = files("runfold.schemas") / "topics" / f"{name}.json"
    return Topic(**json.loads(path.read_text("utf-8")))


def all_topics() -> list[Topic]:
    """Return every topic, by name."""
    folder = files("runfold.schemas") / "topics"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".json"))
    return [load_topic(name.removesuffix(".json")) for name in names]


EVENTS = load_topic("runfold.events")
DEAD_LETTERS = load_topic("runfold.dead-letters")
KEYS = load_topic("runfold.keys")
