"""Turning any Python object into plain JSON values, losing as little as possible."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from hashlib import blake2b
from itertools import islice
from pathlib import PurePath
from typing import Any, TypeGuard, TypeVar
from uuid import UUID

ALTERED = "runfold.altered"
"""The attribute that says what had to be changed: a field or path to a reason."""

_T = TypeVar("_T")

LONGEST_TEXT = 64 * 1024
LONGEST_ID = 512
MAX_DEPTH = 16
_MAX_ITEMS = 10_000
_LONG_LIMIT = 1 << 63


def is_a(value: object, kind: type[_T]) -> TypeGuard[_T]:
    """Say what `isinstance` says, without asking `value` itself, which may raise."""
    return issubclass(type(value), kind)


def is_id(value: object) -> bool:
    """Say whether `value` is a text that can name a run, an agent or a type of event."""
    return type(value) is str and 0 < len(value) <= LONGEST_ID


def tame_id(value: object) -> str:
    """Return a name for `value`: alike for alike ones, also where it has to be shortened."""
    plain = Tamer(LONGEST_TEXT).tame(value, "")
    text = plain if isinstance(plain, str) else str(plain)
    if len(text) > LONGEST_ID:
        digest = blake2b(text.encode(), digest_size=8).hexdigest()
        text = f"{text[: LONGEST_ID - 20]}…{digest}"
    return text or "unknown"


def message_of(error: BaseException | None) -> str:
    """Return what an exception says, its type's name where it says nothing or cannot."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  a __str__ of the agent's own
        return type(error).__name__


def tame_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` with plain JSON values only; `runfold.altered` lists what was changed.

    Shape: times and durations stay what they are, since only a field's column says its unit.
    """
    tamer = Tamer(LONGEST_TEXT)
    kept = {name: value for name, value in given.items() if type(value) in (datetime, timedelta)}
    others = {name: value for name, value in given.items() if name not in kept}
    fields: dict[str, Any] = {**tamer.tame(others, ""), **kept}
    if tamer.changes:
        fields[ALTERED] = tamer.changes
    return fields


class Tamer:
    """Converts values, and remembers what it had to change.

    Shape: `changes` maps the path of a value (`request.headers`) to a reason: `truncated`,
    `not_finite`, `surrogates`, `too_deep`, `as_text`, `too_big`, `unreadable`.
    Units: `longest_text` in characters, of every single string.
    """

    def __init__(self, longest_text: int) -> None:
        self.changes: dict[str, str] = {}
        self._longest_text = longest_text
        self._left = _MAX_ITEMS

    def tame(self, value: object, path: str, depth: int = 0) -> Any:
        """Return `value` as something that orjson dumps. Never raises an Exception."""
        try:
            return self._tame(value, path, depth)
        except Exception:  # noqa: BLE001  a property, a __str__ or an __iter__ of the agent's own
            self._note(path, "unreadable")
            return f"<unreadable {type(value).__name__}>"

    def _tame(self, value: object, path: str, depth: int) -> Any:
        self._left -= 1
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self.text(value, path)  # type: ignore[arg-type]
        if kind is int:
            return self._int(value, path)  # type: ignore[arg-type]
        if kind is float:
            return self._float(value, path)  # type: ignore[arg-type]
        if depth >= MAX_DEPTH or self._left <= 0:
            return self._changed(self._represented(value), path, "too_deep")
        convert = _converter(value)
        if convert is not None:
            return self.tame(convert(value), path, depth + 1)
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, (list, tuple, Set)):
            return self._sequence(value, path, depth)
        return self._changed(self.text(self._represented(value), path), path, "as_text")

    def text(self, value: str, path: str) -> str:
        """Return `value` cut to the longest text, without lone surrogates."""
        kept = str.__str__(value)
        if len(kept) > self._longest_text:
            self._note(path, "truncated")
            kept = f"{kept[: self._longest_text]}… ({len(kept)} characters)"
        try:
            kept.encode()
        except UnicodeEncodeError:
            self._note(path, "surrogates")
            kept = kept.encode("utf-8", "backslashreplace").decode()
        return kept

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        kept = {}
        for key, each in islice(value.items(), max(self._left, 0)):
            name = key if type(key) is str else self._represented(key)
            name = self.text(name, path)
            kept[name] = self.tame(each, f"{path}.{name[:100]}" if path else name[:100], depth + 1)
        if len(kept) < len(value):
            self._note(path, "truncated")
        return kept

    def _sequence(self, value: Any, path: str, depth: int) -> list[Any]:
        items = islice(value, max(self._left, 0))
        kept = [self.tame(each, f"{path}[{at}]", depth + 1) for at, each in enumerate(items)]
        if len(kept) < len(value):
            self._note(path, "truncated")
        return kept

    def _float(self, value: float, path: str) -> float | str:
        return value if math.isfinite(value) else self._changed(str(value), path, "not_finite")

    def _int(self, value: int, path: str) -> int | str:
        if -_LONG_LIMIT <= value < _LONG_LIMIT:
            return value
        digits = str(value) if value.bit_length() <= 10_000 else f"{value.bit_length()} bits"
        return self._changed(digits, path, "too_big")

    def _changed(self, kept: str, path: str, reason: str) -> str:
        self._note(path, reason)
        return kept

    def _note(self, path: str, reason: str) -> None:
        if len(self.changes) < 50:
            self.changes.setdefault(path[:200], reason)

    @staticmethod
    def _represented(value: object) -> str:
        if isinstance(value, (Mapping, list, tuple, Set)):
            return f"<{type(value).__name__} of {len(value)}>"
        try:
            return repr(value)[:1000]
        except Exception:  # noqa: BLE001  a __repr__ of the agent's own
            return f"<{type(value).__name__}>"


def _converter(value: object) -> Callable[[Any], Any] | None:
    """Return what turns `value` into something plainer, None where nothing is known."""
    if is_dataclass(value) and not isinstance(value, type):
        return _dataclass_items
    return next((convert for kind, convert in _CONVERTERS if isinstance(value, kind)), None)


def _dataclass_items(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name, None) for field in fields(value)}


_CONVERTERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    ((datetime, date, time), lambda value: value.isoformat()),
    (timedelta, lambda value: value.total_seconds()),
    ((UUID, PurePath), str),
    (
        (bytes, bytearray, memoryview),
        lambda value: bytes(value[:4096]).decode("utf-8", "backslashreplace"),
    ),
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
