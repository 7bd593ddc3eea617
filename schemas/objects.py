"""Large documents beside the log: an event names one by the digest of its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

OBJECT_ATTRIBUTE = "runfold.object"
"""The attribute of an event whose other attributes lie in an object: `sha256`, `bytes`, `path`."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A document that is kept, as long as it is, under the digest of its content.

    Shape: `sha256` is 64 lower-case hex digits of the content as it was given; `path` is where it
    lies below the lake, compressed. Units: `size_bytes` of the content.
    """

    sha256: str
    size_bytes: int
    path: str


class ObjectStore(Protocol):
    """Keeps documents by the digest of their content. May block; safe from several threads."""

    def put(self, content: bytes) -> StoredObject:
        """Keep `content` and return its name, when it is durable.

        Delivery: idempotent, the same content has the same name. Raises: LakeUnavailable (retry).
        """

    def get(self, sha256: str) -> bytes | None:
        """Return the content of that digest, None where there is none.

        Raises: LakeUnavailable (retry), LakeCorrupt where it is not what its name says.
        """
