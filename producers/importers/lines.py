"""Files of JSON lines, read without trust in what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

MAX_LINE_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that was left out, and why. Shape: `number` counts from 1."""

    path: Path
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.reason}"


class LineError(ValueError):
    """A line is not what its file should hold; the message says what is wrong with it."""


def read_objects(
    path: Path, size_bytes: int, *, constants: bool = False
) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    """Yield each line's number and what it holds; blank lines are passed over.

    Shape: with `constants`, NaN and Infinity are taken for numbers, as Python writes them.
    Units: `size_bytes` is how far the file is read. Raises: OSError where it cannot be.
    """
    for number, line, whole in _lines(path, size_bytes):
        if line is None:
            reason = f"the line is longer than {MAX_LINE_BYTES // 1024**2} MiB"
            yield number, BadLine(path, number, reason)
        elif line.strip():
            try:
                yield number, _object(line, constants=constants)
            except LineError as error:
                torn = "" if whole else "the last line is torn: "
                yield number, BadLine(path, number, f"{torn}{error}")


def _lines(path: Path, size_bytes: int) -> Iterator[tuple[int, bytes | None, bool]]:
    """Yield number, content (None where too long) and whether the line has its end."""
    left = size_bytes
    number = 0
    with path.open("rb", buffering=_CHUNK_BYTES) as stream:
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


def _object(line: bytes, *, constants: bool) -> dict[str, Any]:
    try:
        decoded = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        decoded = _as_python_reads_it(line, constants=constants)
        if decoded is None:
            where = f"{error.msg}, at character {error.pos}"
            reason = "it holds NUL bytes" if b"\x00" in line else where
            raise LineError(f"not JSON: {reason}") from error
    if not isinstance(decoded, dict):
        raise LineError(f"not a JSON object but {_name_of(decoded)}")
    return decoded


def _as_python_reads_it(line: bytes, *, constants: bool) -> Any:
    """Decode a line that only orjson refuses, else None.

    Its text was cut inside a character, or a number in it is none of JSON's.
    """
    if not (constants or b"\\ud" in line or b"\\uD" in line):
        return None
    try:
        refuse = None if constants else _refused
        return _mended(json.loads(line, parse_constant=refuse))
    except (ValueError, RecursionError):
        return None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


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
