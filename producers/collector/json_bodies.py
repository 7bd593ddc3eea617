"""Reading JSON as clients really send it."""

from __future__ import annotations

import json
from typing import Any

import orjson


def parse_json(body: bytes) -> Any:
    """Return what a body of JSON says.

    Shape: half of a character, which JavaScript sends where it cut a text in the middle of one,
    becomes U+FFFD. Raises: ValueError where it is no JSON, which NaN and Infinity are not, or is
    nested more than 200 deep.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = orjson.loads(_whole_characters(body))
    try:
        orjson.dumps(parsed)  # what cannot be written again cannot become an event
    except TypeError as error:
        raise ValueError(f"the JSON cannot be kept: {error}") from error
    return parsed


def _whole_characters(body: bytes) -> bytes:
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deep") from error
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
