"""The contents that backups name, each stored once under its SHA-256."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runfold.schemas.errors import LakeCorrupt
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at

if TYPE_CHECKING:
    from runfold.sinks.backup.manifest import KeptFile
    from runfold.sinks.storage import ByteStream

_FOLDER = "contents"
_BYTES_AT_ONCE = 1024 * 1024
_STILL_WANTED = timedelta(hours=1)
"""A content of another backup that is being made may have no manifest yet."""


class Contents:
    """The contents in one place. Safe for several threads and processes at once."""

    def __init__(self, place: LakePath) -> None:
        self._folder = place / _FOLDER

    def known(self) -> set[str]:
        """Return the digests of all that is there. Raises: LakeUnavailable."""
        return {path.name for path in self._listed()}

    def keep(self, path: LakePath, known: Collection[str]) -> tuple[str, int]:
        """Store what is in `path` unless it is `known`; return its digest and its bytes.

        Raises: LakeUnavailable, also where the file is gone.
        """
        with lake_errors(path, "read"), at(path).copied() as copy:
            digest, size_bytes = digest_of(copy)
            if digest not in known:
                place = self._path(digest)
                with lake_errors(place, "write"), at(place).stream() as stream:
                    written = _copy(copy, stream)
                if written != digest:  # a file of the lake never changes, but its disk may be bad
                    at(place).remove()
                    raise LakeCorrupt(f"{path} reads differently each time")
        return digest, size_bytes

    def fetch(self, file: KeptFile, to: LakePath) -> None:
        """Put the content of `file` there, durably. Raises: LakeUnavailable, LakeCorrupt."""
        path = self._path(file.sha256)
        with lake_errors(path, "read"), at(path).copied() as copy:
            digest, _ = digest_of(copy)
            if digest != file.sha256:
                raise LakeCorrupt(f"{path}, which holds {file.path}, is damaged")
            with lake_errors(to, "write"), at(to).stream() as stream:
                _copy(copy, stream)

    def problem(self, file: KeptFile) -> str | None:
        """Read the content of `file`; return what is wrong with it. Raises: LakeUnavailable."""
        path = self._path(file.sha256)
        with lake_errors(path, "read"):
            try:
                with at(path).copied() as copy:
                    digest, _ = digest_of(copy)
            except FileNotFoundError:
                return f"{file.path}: its content {path} is not there"
        return None if digest == file.sha256 else f"{file.path}: its content {path} is damaged"

    def discard(self, wanted: Collection[str]) -> tuple[int, int]:
        """Remove what nobody wants; return how many contents and bytes. Raises: LakeUnavailable."""
        before = time.time() - _STILL_WANTED.total_seconds()
        removed = removed_bytes = 0
        for path in self._listed():
            if path.name in wanted:
                continue
            with lake_errors(path, "remove"):
                about = at(path).stat()
                if about.modified < before:
                    at(path).remove()
                    removed += 1
                    removed_bytes += about.size_bytes
        return removed, removed_bytes

    def _listed(self) -> Iterator[LakePath]:
        with lake_errors(self._folder, "list"):
            for _, files in at(self._folder).walk():
                yield from (each for each in files if not each.name.startswith("."))

    def _path(self, digest: str) -> LakePath:
        return self._folder / digest[:2] / digest


def digest_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file of this machine and how many bytes it has. Raises: OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def _copy(path: Path, stream: ByteStream) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_BYTES_AT_ONCE):
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()
