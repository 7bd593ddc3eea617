"""The objects of buckets as the files that DuckDB reads."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any

import fsspec

from runfold.sinks.lake_files import SCHEMA_FOLDER
from runfold.sinks.object_path import SCHEME, ObjectPath, Stat
from runfold.sinks.object_reading import RangedFile
from runfold.sinks.object_storage import WHOLE_BYTES, ObjectLocation

_KEPT_BYTES = 64 * 1024 * 1024
"""Of small files, which DuckDB opens several times for one question."""
_FIRST_WILD = re.compile(r"[*?\[]")
_ONE_OF = re.compile(r"\[(.)\]")


class BucketFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Reads only. What a listing said of a file holds until the next one.

    Raises: OSError.
    """

    protocol = "s3"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._listed: dict[str, Stat | None] = {}
        self._without_rows: dict[str, list[str]] = {}
        self._kept: dict[tuple[str, Stat], bytes] = {}

    def glob(self, path: str, **_: Any) -> list[str]:
        """Return the URLs that a pattern matches; `*` stands for anything but a slash."""
        wild = _FIRST_WILD.search(path)
        if wild is None:
            return [path] if self.exists(path) else []
        if f"/{SCHEMA_FOLDER}/" not in path:
            return self._matching(path, wild.start())
        if path not in self._without_rows:  # views ask again and again; these stay as they are
            self._without_rows[path] = self._matching(path, wild.start())
        return self._without_rows[path]

    def _matching(self, path: str, wild: int) -> list[str]:
        matches = re.compile(_expression(path)).fullmatch
        top = _object(path[:wild].rpartition("/")[0])
        found = {str(each): each for each in ObjectLocation.of(top).objects()}
        chosen = sorted(name for name in found if matches(name))
        self._listed |= {name: found[name].listed for name in chosen}
        return chosen

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return size and time of a file. Raises: FileNotFoundError."""
        about = self._location(path).stat()
        return {"name": path, "size": about.size_bytes, "type": "file", "modified": about.modified}

    def modified(self, path: str) -> datetime:
        """Return when a file was written."""
        return datetime.fromtimestamp(self._location(path).stat().modified, UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.IOBase:
        if mode != "rb":
            raise PermissionError(f"{path}: the lake is only read here")
        location = self._location(path)
        about = location.stat()
        if about.size_bytes > WHOLE_BYTES:
            return location.reader()
        content = self._kept.get((path, about))
        if content is None:
            content = location.read()
            if sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.clear()
            self._kept[path, about] = content
        return RangedFile(lambda start, end: content[start:end], about.size_bytes)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a file, which it has already."""
        return name

    def _location(self, path: str) -> ObjectLocation:
        place = _object(path)
        return ObjectLocation.of(ObjectPath(place.bucket, place.key, self._listed.get(path)))


def _object(url: str) -> ObjectPath:
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    return ObjectPath(bucket, key)


def _expression(pattern: str) -> str:
    """Return a glob pattern as a regular expression."""
    parts = re.split(r"(\*\*/|\*|\?|\[.\])", pattern)
    spelt = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(spelt.get(part) or re.escape(_ONE_OF.sub(r"\1", part)) for part in parts)
