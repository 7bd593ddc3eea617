"""What is wrong with a body, in the words of zod, which the Agent Framework's clients read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runfold.producers.collector.agent_framework.items import Unmet

Issue = dict[str, Any]
Path = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "string",
    "float_type": "number",
    "int_type": "number",
    "bool_type": "boolean",
    "list_type": "array",
    "dict_type": "object",
}
_NO_STRINGS: dict[str | int, str] = {"transcript": "array", "cost": "number", "index": "number"}
_BOUNDS = {
    "string_too_short": ("string", "min_length", True),
    "string_too_long": ("string", "max_length", False),
    "too_long": ("array", "max_length", False),
    "greater_than_equal": ("number", "ge", True),
    "less_than_equal": ("number", "le", False),
}
_RECEIVED = (
    (type(None), "null"),
    (bool, "boolean"),
    (int | float, "number"),
    (str, "string"),
    (list, "array"),
)


def zod_error(issues: Iterable[Issue]) -> dict[str, Any]:
    """Return the body of an answer that names `issues`."""
    return {"success": False, "error": {"issues": list(issues), "name": "ZodError"}}


def issues_of(error: ValidationError, at: Path = ()) -> list[Issue]:
    """Return what pydantic found, each at its path below `at`."""
    return [_issue(each, at) for each in error.errors(include_url=False, include_context=True)]


def unmet_issue(unmet: Unmet, item: Mapping[str, Any], at: Path) -> Issue:
    """Return the issue of a rule that an item does not keep."""
    path = (*at, unmet["field"])
    if unmet["options"]:
        return not_one_of(unmet["options"], item[unmet["field"]], path)
    return missing(unmet["expected"], path)


def missing(expected: str, path: Path) -> Issue:
    """Return the issue of a field that is not there."""
    return wrong_type(expected, "undefined", path) | {"message": "Required"}


def wrong_type(expected: str, received: str, path: Path) -> Issue:
    """Return the issue of a value of another type."""
    return {
        "code": "invalid_type",
        "expected": expected,
        "received": received,
        "path": list(path),
        "message": f"Expected {expected}, received {received}",
    }


def not_one_of(options: Iterable[str], received: Any, path: Path) -> Issue:
    """Return the issue of a word that is none of a closed list."""
    listed = list(options)
    expected = " | ".join(f"'{each}'" for each in listed)
    return {
        "code": "invalid_enum_value",
        "received": received,
        "options": listed,
        "path": list(path),
        "message": f"Invalid enum value. Expected {expected}, received '{received}'",
    }


def out_of_bounds(kind: str, bound: float, path: Path, *, below: bool) -> Issue:
    """Return the issue of a text, list (`string`, `array`) or number beyond its `bound`."""
    limit = "at least" if below else "at most"
    if kind == "number":
        limit = "greater than or equal to" if below else "less than or equal to"
        message = f"Number must be {limit} {_plain(bound)}"
    else:
        unit = "character(s)" if kind == "string" else "element(s)"
        message = f"{kind.capitalize()} must contain {limit} {bound} {unit}"
    return {
        "code": "too_small" if below else "too_big",
        "minimum" if below else "maximum": _plain(bound),
        "type": kind,
        "inclusive": True,
        "exact": False,
        "path": list(path),
        "message": message,
    }


def received_type(value: Any) -> str:
    """Return what JavaScript calls the type of a value."""
    return next((name for kind, name in _RECEIVED if isinstance(value, kind)), "object")


def _issue(found: ErrorDetails, at: Path) -> Issue:
    kind, value = found["type"], found["input"]
    context: dict[str, Any] = found.get("ctx", {})
    path = (*at, *found["loc"])
    if kind == "missing":
        return missing(_NO_STRINGS.get(path[-1], "string"), path)
    if kind in _EXPECTED:
        if kind == "int_type" and isinstance(value, float):
            return wrong_type("integer", "float", path)
        return wrong_type(_EXPECTED[kind], received_type(value), path)
    if kind == "literal_error":
        if not isinstance(value, str):
            return wrong_type(str(context["expected"]), received_type(value), path)
        options = str(context["expected"]).replace(" or ", ", ").split(", ")
        return not_one_of((each.strip("'") for each in options), value, path)
    if kind in _BOUNDS:
        of, bound, below = _BOUNDS[kind]
        return out_of_bounds(of, context[bound], path, below=below)
    return {"code": "custom", "path": list(path), "message": found["msg"]}


def _plain(bound: float) -> float:
    return int(bound) if bound == int(bound) else bound
