"""Giving a value the type that its field has in the log, where nothing is lost by it."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any
from uuid import UUID

from runfold.schemas.event import EARLIEST_US, LATEST_US

LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
_EXACT_FLOAT = 1 << 53


def coerced(value: Any, wanted: type) -> Any:
    """Return `value` as `wanted` (str, int or float), None where that would lose something.

    A bool is neither a count nor a text here: it is most likely a mistake worth seeing.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, Enum):
        return coerced(value.value, wanted)
    if wanted is str:
        return _text(value)
    number = _number(value)
    if number is None:
        return None
    return _whole(number) if wanted is int else _double(number)


def occurred_at_us(value: Any) -> int | None:
    """Return a time as microseconds since 1970 UTC, None where it is none of 2000 to 2199.

    Shape: an aware datetime, or microseconds as a whole number.
    """
    if isinstance(value, datetime) and value.tzinfo is not None:
        elapsed = value - datetime(1970, 1, 1, tzinfo=UTC)
        value = elapsed // timedelta(microseconds=1)
    if type(value) is int and EARLIEST_US <= value <= LATEST_US:
        return value
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float, UUID, PurePath)):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return None


def _number(value: Any) -> int | float | None:
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, timedelta):
        return value / timedelta(milliseconds=1)
    if isinstance(value, (str, bytes)) and len(value) <= 40:
        try:
            return int(value)
        except ValueError:
            return _parsed_float(value)
    return _parsed_float(value) if type(value).__name__ == "Decimal" else None


def _parsed_float(value: Any) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _whole(number: float) -> int | None:
    if isinstance(number, float) and not (abs(number) <= _EXACT_FLOAT and number.is_integer()):
        return None
    return int(number) if LONG_MIN <= number <= LONG_MAX else None


def _double(number: float) -> float | None:
    try:
        double = float(number)
    except OverflowError:
        return None
    return double if math.isfinite(double) else None
