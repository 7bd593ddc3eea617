"""Values of OTLP's JSON, read as leniently as its clients write it.

Source: OTLP/JSON's rules (64-bit numbers as text or as numbers, ids in hexadecimal, enums by
number), and what is sent beside them: numbers where text belongs, names of enums, bare NaN,
trace ids of 64 digits, names in snake_case.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from runfold.producers.collector.otlp.items import MOST_NESTED, ItemRefused

_LONGEST_ID = 128
_VALUE_NAMES = {
    "stringValue": "string",
    "string_value": "string",
    "boolValue": "plain",
    "bool_value": "plain",
    "intValue": "int",
    "int_value": "int",
    "doubleValue": "double",
    "double_value": "double",
    "arrayValue": "array",
    "array_value": "array",
    "kvlistValue": "kvlist",
    "kvlist_value": "kvlist",
    "bytesValue": "plain",
    "bytes_value": "plain",
}


def parse(body: bytes) -> Any:
    """Return what a JSON text says, with NaN, infinities and lone surrogates as they came.

    Raises: ValueError for what is no JSON, or nests too deep.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as refused:
        try:
            return _without_surrogates(json.loads(body))
        except RecursionError as error:
            raise ValueError("the body is no JSON that can be read: it nests too deep") from error
        except ValueError as error:
            raise ValueError(f"the body is no JSON: {refused}") from error


def dumped(value: Any) -> bytes:
    """Return an item as JSON again, for people who look at what was refused."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except (RecursionError, ValueError) as error:
        return f"<it cannot be written: {error}>".encode()


def get(fields: dict[str, Any], camel: str, snake: str) -> Any:
    """Return a field by either of its names; None where it is absent."""
    value = fields.get(camel)
    return fields.get(snake) if value is None else value


def objects(value: Any, name: str) -> list[Any]:
    """Return a list, which may be absent. Raises: ItemRefused."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ItemRefused(f"{name}: a list is needed, not {_kind(value)}")
    return value


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return an object, which may be absent. Raises: ItemRefused."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ItemRefused(f"{name}: an object is needed, not {_kind(value)}")
    return value


def text(value: Any, name: str) -> str:
    """Return a text, which may be absent. Raises: ItemRefused."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ItemRefused(f"{name}: a text is needed, not {_kind(value)}")
    return value


def identifier(value: Any, name: str) -> str:
    """Return an id in lower case, whole whatever its length. Raises: ItemRefused."""
    found = text(value, name)
    if len(found) > _LONGEST_ID:
        raise ItemRefused(f"{name}: an id of {len(found)} characters")
    return found.lower()


def integer(value: Any, name: str) -> int:
    """Return a whole number, given as one or as text; 0 where it is absent. Raises: ItemRefused."""
    if value is None or value == "":
        return 0
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= 40:
        try:
            return int(value)
        except ValueError:
            pass
    raise ItemRefused(f"{name}: a whole number is needed, not {_shown(value)}")


def number(value: Any, name: str) -> float:
    """Return a number, given as one or as text. Raises: ItemRefused."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= 40:
        try:
            return float(value)
        except ValueError:
            pass
    raise ItemRefused(f"{name}: a number is needed, not {_shown(value)}")


def optional_number(value: Any, name: str) -> float | None:
    """Return a number, None where it is absent. Raises: ItemRefused."""
    return None if value is None else number(value, name)


def enum(value: Any, names: Any, name: str) -> int:
    """Return the number of an enum's member, given by number or name. Raises: ItemRefused."""
    if isinstance(value, str) and value in names.keys():  # noqa: SIM118  no mapping
        return int(names.Value(value))
    return integer(value, name)


def attributes(value: Any, name: str = "attributes") -> dict[str, Any]:
    """Return attributes by name. Raises: ItemRefused."""
    return _pairs(objects(value, name), name, 0)


def _pairs(pairs: list[Any], name: str, depth: int) -> dict[str, Any]:
    found = {}
    for each in pairs:
        pair = mapping(each, name)
        key = pair.get("key")
        found[key if isinstance(key, str) else str(key)] = any_value(pair.get("value"), depth)
    return found


def any_value(value: Any, depth: int = 0) -> Any:
    """Return what an AnyValue holds. Raises: ItemRefused."""
    if value is None:
        return None
    if depth > MOST_NESTED:
        raise ItemRefused(f"attributes nest deeper than {MOST_NESTED} levels")
    if not isinstance(value, dict):
        return value
    for name, content in value.items():
        kind = _VALUE_NAMES.get(name)
        if kind == "string":
            return content if isinstance(content, str) else _plain(content)
        if kind is not None:
            return _typed(kind, content, depth)
    return None if not value else _plain(value)


def _typed(kind: str, content: Any, depth: int) -> Any:
    if kind == "int":
        try:
            return integer(content, "intValue")
        except ItemRefused:
            return _plain(content)
    if kind == "double":
        return _double(content)
    if kind == "array":
        values = objects(mapping(content, "arrayValue").get("values"), "arrayValue.values")
        return [any_value(each, depth + 1) for each in values]
    if kind == "kvlist":
        pairs = objects(mapping(content, "kvlistValue").get("values"), "kvlistValue.values")
        return _pairs(pairs, "kvlistValue.values", depth + 1)
    return _plain(content)


def _double(content: Any) -> Any:
    try:
        return number(content, "doubleValue")
    except ItemRefused:
        return _plain(content)


def _plain(content: Any) -> Any:
    """Return what is no value of OTLP as it came, objects as text."""
    if isinstance(content, (dict, list)):
        return dumped(content).decode("utf-8", "replace")
    return content


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "backslashreplace").decode()
        return value
    if isinstance(value, list):
        return [_without_surrogates(each) for each in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    return value


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return repr(value)[:60] if isinstance(value, (str, int, float, bool)) else _kind(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
