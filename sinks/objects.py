"""The large documents of a lake: one compressed file each, named by the digest of its content."""

from __future__ import annotations

import hashlib
import re

import pyarrow as pa

from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.objects import StoredObject
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at, write_file

OBJECTS_FOLDER = "objects"
_SUFFIX = ".json.zst"
_FOLDER_DIGITS = 2
_digest = re.compile("[0-9a-f]{64}").fullmatch


class LakeObjects:
    """Implements `ObjectStore` in a lake.

    Shape: `objects/<first two digits>/<sha256>.json.zst`, zstd frames that DuckDB's `read_json`
    and the `zstd` command open.
    """

    def __init__(self, lake: LakePath) -> None:
        self._lake = lake

    def put(self, content: bytes) -> StoredObject:
        """Write `content`, also over what is there, which may be damaged; see `ObjectStore`."""
        digest = hashlib.sha256(content).hexdigest()
        write_file(self.path_of(digest), pa.compress(content, codec="zstd", asbytes=True))
        return StoredObject(digest, len(content), _place(digest))

    def get(self, sha256: str) -> bytes | None:
        """Read what was put; see `ObjectStore`."""
        if _digest(sha256) is None:  # anybody may write an event that names one
            return None
        path = self.path_of(sha256)
        with lake_errors(path, "read"):
            try:
                packed = at(path).read()
            except FileNotFoundError:
                return None
        try:
            with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
                content = bytes(stream.read())
        except OSError as error:
            raise LakeCorrupt(f"{path} is damaged: {error}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise LakeCorrupt(f"{path} is not what its name says")
        return content

    def beginning_with(self, digits: str) -> list[str]:
        """Return the digests that begin with `digits`, two at least. Raises: LakeUnavailable."""
        folder = self.path_of(digits).parent
        with lake_errors(folder, "list"):
            names = at(folder).names()
        found = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
        return sorted(each for each in found if each.startswith(digits))

    def path_of(self, sha256: str) -> LakePath:
        """Return where the document of a digest lies, whether it is there or not."""
        return self._lake / _place(sha256)


def _place(sha256: str) -> str:
    return f"{OBJECTS_FOLDER}/{sha256[:_FOLDER_DIGITS]}/{sha256}{_SUFFIX}"
