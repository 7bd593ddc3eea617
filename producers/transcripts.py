"""A transcript cut into events that each fit into the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import orjson

from runfold.producers.debug import explain

_PART_BYTES = 500_000
_PART_MESSAGES = 1000
_MOST_MESSAGES = 100_000


def transcript_parts(messages: object) -> list[dict[str, Any]]:
    """Return the fields of each event of a transcript, in order; never raises.

    Shape: `messages` and the index of the first of them, `part` of `parts` counted from 1, and the
    number of all `messages_total`. What is no list of messages is taken for a single one.
    Units: a part has about 500 kB, or a single message that is larger.
    """
    found = _as_list(messages)
    firsts = _firsts(found)
    ends = [*firsts[1:], len(found)]
    return [
        {
            "messages": found[first:end],
            "first_message": first,
            "part": part,
            "parts": len(firsts),
            "messages_total": len(found),
        }
        for part, (first, end) in enumerate(zip(firsts, ends, strict=True), start=1)
    ]


def _as_list(messages: object) -> list[Any]:
    try:
        if isinstance(messages, Iterable) and not isinstance(messages, str | bytes | Mapping):
            return list(islice(messages, _MOST_MESSAGES))
    except Exception as error:  # noqa: BLE001  an iterator of the agent's own
        explain("a transcript cannot be read", error)
    return [messages]


def _firsts(messages: list[Any]) -> list[int]:
    """Return the index at which each part begins; at least one part."""
    firsts, size, count = [0], 0, 0
    for at, message in enumerate(messages):
        more = _size_of(message)
        if count and (size + more > _PART_BYTES or count >= _PART_MESSAGES):
            firsts.append(at)
            size = count = 0
        size, count = size + more, count + 1
    return firsts


def _size_of(message: object) -> int:
    try:
        return len(orjson.dumps(message))
    except Exception:  # noqa: BLE001  what is not plain gets a part for itself
        return _PART_BYTES
