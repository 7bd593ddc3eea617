"""Counts the tokens of transcripts without the importer: plain json, one dictionary."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


def count_tokens(folder: Path) -> Counter[str]:
    """Sum the greatest usage of each API message, whichever files repeat it."""
    greatest: dict[tuple[object, object], dict[str, int]] = {}
    for path in folder.rglob("*.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
                message = entry["message"]
                usage = {ours: message["usage"][theirs] for theirs, ours in FIELDS.items()}
                if not all(isinstance(each, int) and each >= 0 for each in usage.values()):
                    continue
                if not entry["timestamp"].startswith("2"):
                    continue
                key = message["id"], entry["requestId"]
                if not isinstance(entry["cwd"], str) or not isinstance(message["content"][0], dict):
                    continue
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            known = greatest.setdefault(key, usage)
            greatest[key] = {name: max(known[name], usage[name]) for name in usage}
    total: Counter[str] = Counter()
    for usage in greatest.values():
        total.update(usage)
    return total
