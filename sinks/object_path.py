"""Where something of a lake lies: on a disk, or in the bucket of an object store."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from functools import total_ordering
from pathlib import Path
from typing import TypeAlias

from runfold.schemas.errors import ConfigurationError

SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class Stat:
    """How large a file is and when it was written.

    Units: bytes; seconds since 1970 by the clock of the storage.
    """

    size_bytes: int
    modified: float


@total_ordering
@dataclass(frozen=True, slots=True)
class ObjectPath:
    """The path of an object, or what the paths of several begin with. Names nothing by itself.

    Shape: `key` has no slash at its ends. `listed` is what a listing said of the object.
    """

    bucket: str
    key: str
    listed: Stat | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return posixpath.basename(self.key)

    @property
    def parent(self) -> ObjectPath:
        """What stands before the last part."""
        return replace(self, key=posixpath.dirname(self.key), listed=None)

    def absolute(self) -> ObjectPath:
        """Return itself."""
        return self

    def with_name(self, name: str) -> ObjectPath:
        """Return the path beside it of that name."""
        return self.parent / name

    def __truediv__(self, below: str) -> ObjectPath:
        return replace(self, key=posixpath.join(self.key, below), listed=None)

    def __lt__(self, other: ObjectPath) -> bool:
        return (self.bucket, self.key) < (other.bucket, other.key)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}".rstrip("/")


LakePath: TypeAlias = Path | ObjectPath


def lake_path(text: str | Path) -> LakePath:
    """Return the place that a setting names: a folder, or `s3://BUCKET/PREFIX`.

    Raises: ConfigurationError.
    """
    scheme, separator, rest = str(text).partition("://")
    if not separator:
        return Path(text).expanduser().absolute()
    bucket, _, key = rest.partition("/")
    parts = key.rstrip("/").split("/")
    if f"{scheme}://" != SCHEME or not bucket or ({".", ".."} | {""} if key else set()) & {*parts}:
        raise ConfigurationError(
            f"not a place for a lake: {text}; use a folder or s3://BUCKET/PREFIX"
        )
    return ObjectPath(bucket, key.rstrip("/"))
