"""Keeping what is too large for one event beside the log, and naming it in the event."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runfold.producers.collector.problems import TRY_AGAIN_AFTER, Problem
from runfold.schemas.errors import LakeUnavailable
from runfold.schemas.objects import OBJECT_ATTRIBUTE, ObjectStore

_LARGEST_ATTRIBUTES_BYTES = 900_000
"""A worker decodes events of up to 1 MiB; the columns take the rest."""
_KEPT_BYTES = 4096
_ALL_KEPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Documents:
    """Turns attributes into the text that an event carries; without a `store` all stay inside."""

    store: ObjectStore | None = None

    async def text_of(self, attributes: Mapping[str, Any]) -> str:
        """Return `attributes` as an event carries them.

        Shape: where they are too large, all of them are an object in the store; the event keeps
        those that are small, and `runfold.object` with `sha256`, `bytes` and `path`.
        Delivery: the object is durable before this returns; the same attributes are the same one.
        Raises: Problem 503 where the store cannot be written.
        """
        content = orjson.dumps(attributes)
        if self.store is None or len(content) <= _LARGEST_ATTRIBUTES_BYTES:
            return content.decode()
        try:
            kept = await asyncio.to_thread(self.store.put, content)
        except LakeUnavailable as error:
            raise Problem(503, str(error), TRY_AGAIN_AFTER) from error
        named = {"sha256": kept.sha256, "bytes": kept.size_bytes, "path": kept.path}
        return orjson.dumps({**_small_ones(attributes), OBJECT_ATTRIBUTE: named}).decode()


def _small_ones(attributes: Mapping[str, Any]) -> dict[str, Any]:
    small: dict[str, Any] = {}
    left = _ALL_KEPT_BYTES
    for name, value in attributes.items():
        size = len(orjson.dumps({name: value}))
        if size <= min(_KEPT_BYTES, left):
            small[name] = value
            left -= size
    return small
