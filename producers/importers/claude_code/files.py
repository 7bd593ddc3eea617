"""Transcript files: found, and read line by line without trust in what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from runfold.schemas.errors import ConfigurationError

MAX_LINE_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class TranscriptFile:
    """One `.jsonl` file as it was when the import began.

    Units: `size_bytes` how far it is read, so that a file which grows meanwhile is read twice
    alike; `modified_ns` nanoseconds since 1970.
    """

    path: Path
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that was left out, and why. Shape: `number` counts from 1."""

    path: Path
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.reason}"


class LineError(ValueError):
    """A line is not what a transcript holds; the message says what is wrong with it."""


def find_transcripts(path: Path) -> list[TranscriptFile]:
    """Return the transcripts in the folder `path` and below, or the one that `path` is, by name.

    Raises: ConfigurationError where there is nothing to read, or nobody may read it.
    """
    try:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*.jsonl") if each.is_file())
            next(path.iterdir(), None)
        elif path.exists():
            found = [path]
            path.open("rb").close()
        else:
            raise ConfigurationError(f"{path}: no such file or folder")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    return [_described(each) for each in found]


def _described(path: Path) -> TranscriptFile:
    stat = path.stat()
    return TranscriptFile(path, stat.st_size, stat.st_mtime_ns)


def read_objects(file: TranscriptFile) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    """Yield each line's number and what it holds; blank lines are passed over.

    Raises: OSError where the file cannot be read.
    """
    for number, line, whole in _lines(file):
        if line is None:
            reason = f"the line is longer than {MAX_LINE_BYTES // 1024**2} MiB"
            yield number, BadLine(file.path, number, reason)
        elif line.strip():
            try:
                yield number, _object(line)
            except LineError as error:
                torn = "" if whole else "the last line is torn: "
                yield number, BadLine(file.path, number, f"{torn}{error}")


def _lines(file: TranscriptFile) -> Iterator[tuple[int, bytes | None, bool]]:
    """Yield number, content (None where too long) and whether the line has its end."""
    left = file.size_bytes
    number = 0
    with file.path.open("rb", buffering=_CHUNK_BYTES) as stream:
        while left > 0:
            number += 1
            line = stream.readline(min(MAX_LINE_BYTES, left))
            left -= len(line)
            if not line:
                return
            if line.endswith(b"\n") or left <= 0:
                yield number, line, line.endswith(b"\n")
                continue
            while left > 0 and line and not line.endswith(b"\n"):
                line = stream.readline(min(_CHUNK_BYTES, left))
                left -= len(line)
            yield number, None, True


def _object(line: bytes) -> dict[str, Any]:
    try:
        decoded = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        decoded = _with_cut_characters(line)
        if decoded is None:
            where = f"{error.msg}, at character {error.pos}"
            reason = "it holds NUL bytes" if b"\x00" in line else where
            raise LineError(f"not JSON: {reason}") from error
    if not isinstance(decoded, dict):
        raise LineError(f"not a JSON object but {_name_of(decoded)}")
    return decoded


def _with_cut_characters(line: bytes) -> Any:
    """Decode a line whose text was cut inside a character, which only orjson refuses, else None."""
    if b"\\ud" not in line and b"\\uD" not in line:
        return None
    try:
        return _mended(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(each) for name, each in value.items()}
    return value


def _name_of(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def shown(value: object) -> str:
    """Return `value` short enough for a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
