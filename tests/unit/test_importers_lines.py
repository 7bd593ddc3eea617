"""Lines of transcripts, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runfold.producers.importers.claude_code import BadLine, find_transcripts
from runfold.producers.importers.claude_code.entries import read_entry
from runfold.producers.importers.lines import MAX_LINE_BYTES, LineError, read_objects
from runfold.schemas.errors import ConfigurationError
from tests.transcripts.writer import Transcript


def read(tmp_path: Path, content: bytes) -> list[tuple[int, dict[str, Any] | str]]:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    (file,) = find_transcripts(path)
    return [
        (number, found.reason if isinstance(found, BadLine) else found)
        for number, found in read_objects(file.path, file.size_bytes)
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"type": ', "not JSON"),
        (b"nonsense", "not JSON"),
        (b"\x00\x00\x00", "NUL bytes"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b"[]", "an array"),
        (b'"text"', "a string"),
        (b"null", "null"),
        (b"17", "a number"),
        (b"[" * 5000 + b"]" * 5000, "not JSON"),
        (b'{"a": "\\ud83d', "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_the_next_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    (first, why), (second, kept) = read(tmp_path, line + b'\n{"kept": 1}\n')
    assert (first, second, kept) == (1, 2, {"kept": 1})
    assert isinstance(why, str)
    assert reason in why


def test_a_line_beyond_the_limit_is_left_out_and_the_next_is_read(tmp_path: Path) -> None:
    long = b'{"a": "' + b"x" * (MAX_LINE_BYTES + 4_000_000) + b'"}'
    found = read(tmp_path, long + b'\n{"kept": 1}\n' + long)
    assert found == [
        (1, "the line is longer than 16 MiB"),
        (2, {"kept": 1}),
        (3, "the line is longer than 16 MiB"),
    ]


def test_a_line_just_within_the_limit_is_read(tmp_path: Path) -> None:
    frame = len(b'{"a": ""}\n')
    ((number, found),) = read(tmp_path, b'{"a": "' + b"x" * (MAX_LINE_BYTES - frame) + b'"}\n')
    assert number == 1
    assert isinstance(found, dict)


def test_blank_lines_count_but_are_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, b'\n  \n{"a": 1}\r\n') == [(3, {"a": 1})]


def test_an_unended_last_line_that_is_whole_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"a": 1}') == [(1, {"a": 1})]


def test_text_cut_inside_a_character_is_mended(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"a": ["x\\ud83d"]}\n') == [(1, {"a": ["x?"]})]


def test_a_file_is_read_as_far_as_it_went_at_first(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a": 1}\n')
    (file,) = find_transcripts(path)
    with path.open("ab") as stream:
        stream.write(b'{"a": 2}\n')
    assert list(read_objects(file.path, file.size_bytes)) == [(1, {"a": 1})]


def test_a_missing_path_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere: no such file or folder"):
        find_transcripts(tmp_path / "nowhere")


def test_transcripts_are_found_in_all_folders_below(tmp_path: Path) -> None:
    for name in ("a/one.jsonl", "a/b/two.jsonl", "a/three.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [each.path.name for each in find_transcripts(tmp_path)]
    assert sorted(found) == ["one.jsonl", "two.jsonl"]


def good() -> dict[str, Any]:
    line: dict[str, Any] = json.loads(json.dumps(Transcript("s").says("m", "text")))
    return line


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("uuid",), None, "uuid is missing"),
        (("uuid",), 5, "uuid is 5, not a text"),
        (("sessionId",), ["s"], "sessionId is"),
        (("timestamp",), None, "timestamp is missing"),
        (("timestamp",), 1768035602, "not a time"),
        (("timestamp",), "yesterday", "not a time"),
        (("timestamp",), "0001-01-01T00:00:00Z", "outside the years"),
        (("timestamp",), "9999-12-31T23:59:59+14:00", "outside the years"),
        (("message",), None, "message is missing"),
        (("message",), "text", "message is 'text', not an object"),
        (("message", "content"), 5, "message.content is 5"),
        (("message", "content"), ["text"], "message.content holds"),
        (("message", "content"), [{"type": "text"}], "text.text is None"),
        (("message", "content"), [{"type": "tool_use", "id": 1, "name": "x"}], "tool_use.id is 1"),
        (("message", "id"), 5, "id is 5"),
        (("message", "model"), {}, "model is {}"),
        (("message", "usage"), [], "message.usage is []"),
        (("message", "usage", "input_tokens"), True, "usage.input_tokens is True"),
        (("message", "usage", "input_tokens"), 1.5, "usage.input_tokens is 1.5"),
        (("message", "usage", "output_tokens"), -1, "usage.output_tokens is -1"),
        (("message", "usage", "output_tokens"), 10**15, "usage.output_tokens"),
        (("message", "usage", "cache_creation"), 5, "usage.cache_creation is 5"),
        (("requestId",), 5, "requestId is 5"),
        (("costUSD",), "free", "costUSD is 'free'"),
        (("costUSD",), -1, "costUSD is -1"),
        (("forkedFrom",), "s", "forkedFrom is 's'"),
        (("gitBranch",), 5, "gitBranch is 5"),
    ],
)
def test_a_wrong_type_is_refused_by_name(
    place: tuple[str, ...], value: object, reason: str
) -> None:
    line = good()
    read_entry(line)
    inner = line
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(LineError) as refused:
        read_entry(line)
    assert reason in str(refused.value)


def test_hourly_cache_writes_are_told_apart() -> None:
    line = good()
    line["message"]["usage"]["cache_creation"] = {
        "ephemeral_5m_input_tokens": 5,
        "ephemeral_1h_input_tokens": 15,
    }
    call = read_entry(line).call
    assert call is not None
    assert (call.usage.cache_write, call.usage.cache_write_1h) == (20, 15)


def test_what_the_program_writes_in_the_models_name_is_no_call() -> None:
    line = good()
    line["message"]["model"] = "<synthetic>"
    assert read_entry(line).call is None
