"""The bodies of requests as JSON, and answers and errors in the form of the runs API."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import orjson
import pydantic
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from runfold.producers.collector.problems import Problem

_T = TypeVar("_T")

_ERRORS_AT = f"https://errors.pydantic.dev/{'.'.join(pydantic.VERSION.split('.')[:2])}/v/"


def json_answer(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    """Return an answer; texts that are none come as they can be shown."""
    body = orjson.dumps(content, default=str)
    return Response(body, status, headers, "application/json")


def render(problem: Problem) -> Response:
    """Word a problem as FastAPI does."""
    return json_answer(problem.status, {"detail": problem.message}, problem.all_headers())


def render_invalid(invalid: RequestValidationError) -> Response:
    """Word what is wrong with a request as pydantic does."""
    detail = [{**each, "url": f"{_ERRORS_AT}{each['type']}"} for each in invalid.errors()]
    return json_answer(422, {"detail": detail})


def parsed_body(request: Request, body: bytes) -> Any:
    """Return what a body says; one that is said to be no JSON is a text.

    Raises: RequestValidationError.
    """
    if not _is_json(request.headers.get("content-type", "application/json")):
        return body.decode("utf-8", "replace")
    if not body:
        raise RequestValidationError(
            [{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}]
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        content = _with_nan(body, error)
    try:
        orjson.dumps([[content]])  # as deep as the events and the answers that tell of it
    except TypeError as error:
        raise RequestValidationError([_no_json(0, "nested too deeply")]) from error
    return content


def checked(adapter: TypeAdapter[_T], content: Any) -> _T:
    """Return `content` as the type of `adapter`. Raises: RequestValidationError."""
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise RequestValidationError(
            [{**each, "loc": ["body", *each["loc"]]} for each in errors]
        ) from error


def _is_json(content_type: str) -> bool:
    kind = content_type.split(";")[0].strip().lower()
    return kind in ("", "application/json") or kind.endswith("+json")


def _with_nan(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """Return what a body says that has NaN or Infinity, as Python writes them, for nothing.

    Raises: RequestValidationError where it is no JSON, or holds texts that nothing can encode.
    """
    try:
        content = json.loads(body, parse_constant=lambda _: None)
        orjson.dumps(content)
    except (ValueError, TypeError, RecursionError):
        raise RequestValidationError([_no_json(error.pos, error.msg)]) from error
    return content


def _no_json(position: int, problem: str) -> dict[str, Any]:
    return {
        "type": "json_invalid",
        "loc": ["body", position],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": problem},
    }
