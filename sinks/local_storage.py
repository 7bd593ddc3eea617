"""A lake on a disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runfold.sinks.durable_files import (
    SyncedStream,
    make_folder,
    new_file,
    remove_abandoned,
    streamed_file,
    sync_folder,
)
from runfold.sinks.object_path import LakePath, Stat

if TYPE_CHECKING:
    from typing_extensions import Buffer


class LocalLocation:
    """One file or folder on a disk. See `Location`."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """Return the names in the folder."""
        try:
            with os.scandir(self._path) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []

    def walk(self) -> Iterator[tuple[Path, list[LakePath]]]:
        """Yield each folder from this one down that has files, and its files."""
        folders, files = list[Path](), list[LakePath]()
        with contextlib.suppress(FileNotFoundError), os.scandir(self._path) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(self._path / entry.name)
        if files:
            yield self._path, files
        for folder in folders:
            yield from LocalLocation(folder).walk()

    def stat(self) -> Stat:
        """Return size and time."""
        about = self._path.stat()
        return Stat(about.st_size, about.st_mtime)

    def read(self) -> bytes:
        """Return the content."""
        return self._path.read_bytes()

    @contextlib.contextmanager
    def opened(self) -> Iterator[Path]:
        """Give its path."""
        yield self._path

    copied = opened

    def write(self, content: bytes | memoryview) -> None:
        """Put a file there."""
        with streamed_file(self._path) as stream:
            stream.write(content)

    def write_new(self, content: Buffer) -> bool:
        """Put a file there where none was."""
        return new_file(self._path, content)

    def stream(self) -> contextlib.AbstractContextManager[SyncedStream]:
        """Give what writes the file."""
        return streamed_file(self._path)

    def remove(self) -> None:
        """Remove the file, and its folder where that is empty then."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, mostly: an hour of a day that is over is
            self._path.parent.rmdir()

    def remove_all(self) -> None:
        """Remove the folder."""
        if self._path.is_dir():
            shutil.rmtree(self._path)

    def move(self, place: LakePath) -> None:
        """Move the file."""
        new = Path(str(place))
        make_folder(new.parent)
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(new)
            sync_folder(new.parent)
            sync_folder(self._path.parent)

    def tidy(self) -> None:
        """Remove temporary files that are older than an hour."""
        for folder, _ in self.walk():
            remove_abandoned(folder)
