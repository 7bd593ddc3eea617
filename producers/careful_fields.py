"""The fields of an event whose values are not simply those that the log wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from runfold.producers.coercion import coerced, occurred_at_us
from runfold.producers.tame import ALTERED, LONGEST_TEXT, Tamer

LONGEST_BODY_BYTES = 1_000_000
"""A worker decodes events of up to 1 MiB; run, agent and ids take the rest."""

_SHORTER_TEXTS = (LONGEST_TEXT, 8 * 1024, 1024, 100)


def careful_fields(given: Mapping[str, Any], types: Mapping[str, type]) -> tuple[bytes, int | None]:
    """Return the end of a line for any fields, and the time that they name.

    Shape: a value of the wrong type is coerced where nothing is lost, else it moves into
    `attributes` under its field's name; what was changed is listed there as `runfold.altered`.
    """
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    altered: dict[str, str] = {}
    occurred_at: int | None = None
    for name, value in given.items():
        if value is None:
            continue
        wanted = types.get(name)
        if wanted is str and type(value) is str:
            known[name] = value
        elif name == "attributes":
            extra = {**_attributes(value), **extra}
        elif name == "occurred_at" and (at := occurred_at_us(value)) is not None:
            occurred_at = at
        elif wanted is None:
            extra[name] = value
            if name == "occurred_at":
                altered[name] = "not_a_time"
        elif (kept := coerced(value, wanted)) is not None:
            known[name] = kept
        else:
            extra[name] = value
            altered[name] = f"not_{wanted.__name__}"
    return _dump(known, extra, altered), occurred_at


def _attributes(value: Any) -> dict[str, Any]:
    if isinstance(value, (str, bytes)):
        try:
            parsed = orjson.loads(value)
        except ValueError:
            return {"attributes": value}
        return parsed if isinstance(parsed, dict) else {"attributes": parsed}
    return dict(value) if isinstance(value, Mapping) else {"attributes": value}


def _dump(known: dict[str, Any], extra: dict[str, Any], altered: dict[str, str]) -> bytes:
    if not altered and all(len(v) <= LONGEST_TEXT for v in known.values() if type(v) is str):
        try:
            body = orjson.dumps({**known, "attributes": extra} if extra else known)
        except TypeError:
            body = b""
        # A null may stand for NaN, which orjson writes so
        if body and len(body) <= LONGEST_BODY_BYTES and not (extra and b"null" in body):
            return _end_of_line(body)
    for longest in _SHORTER_TEXTS:
        body = _tamed(known, extra, altered, longest)
        if len(body) <= LONGEST_BODY_BYTES:
            return _end_of_line(body)
    preview = {"preview": body[:LONGEST_TEXT].decode("utf-8", "replace")}
    return _end_of_line(
        _tamed(known, preview, {**altered, "attributes": "too_large"}, longest * 100)
    )


def _tamed(
    known: dict[str, Any], extra: dict[str, Any], altered: dict[str, str], longest_text: int
) -> bytes:
    tamer = Tamer(longest_text)
    fields = {
        name: tamer.text(value, name) if type(value) is str else value
        for name, value in known.items()
    }
    attributes = tamer.tame(extra, "")
    changes = {**tamer.changes, **altered}
    if changes:
        attributes[ALTERED] = changes
    if attributes:
        fields["attributes"] = attributes
    return orjson.dumps(fields)


def _end_of_line(body: bytes) -> bytes:
    return b"}\n" if body == b"{}" else b",%b\n" % body[1:]
