"""Whatever a transcript holds, its importer says so and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.producers.importers.claude_code import (
    ClaudeCodeImport,
    ImportOptions,
    find_transcripts,
)
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from tests.transcripts.writer import START

RECORDED = Path(__file__).parent.parent / "transcripts" / "recorded"
JUNK: list[Any] = [
    None,
    True,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "\ud83d",
    [],
    [1],
    [[]],
    {},
    {"a": []},
    {"type": 5},
]


def readable_lines() -> list[dict[str, Any]]:
    lines = []
    for path in sorted(RECORDED.rglob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                lines.append(found)
    return lines


LINES = readable_lines()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(value.items()) if isinstance(value, dict) else []
    inner += list(enumerate(value)) if isinstance(value, list) else []
    return [path, *(each for name, below in inner for each in places(below, (*path, name)))]


@st.composite
def damaged_lines(draw: st.DrawFn) -> list[Any]:
    lines = [
        json.loads(json.dumps(each))
        for each in draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=12))
    ]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        place = draw(st.sampled_from(places(lines[at])))
        junk = json.loads(json.dumps(draw(st.sampled_from(JUNK))))
        if not place:
            lines[at] = junk
            continue
        inner = lines[at]
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = junk
    return lines


@settings(max_examples=300, deadline=None)
@given(damaged_lines())
def test_no_value_in_any_place_stops_an_import(lines: list[Any]) -> None:
    encode = SparseEncoder(latest("event"))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in lines))
        reading = ClaudeCodeImport(find_transcripts(path), ImportOptions(now=START))
        ids = [(each["run_id"], each["event_id"]) for each in reading.events() if encode(each)]
        assert len(ids) == len(set(ids))
