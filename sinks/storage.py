"""What a lake needs of the storage that it lies in. All else is built upon it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.local_storage import LocalLocation
from runfold.sinks.object_path import LakePath, Stat

if TYPE_CHECKING:
    from typing_extensions import Buffer


class ByteStream(Protocol):
    """Takes the content of a file, piece by piece."""

    def write(self, content: Buffer, /) -> int | None:
        """Take some more."""

    def tell(self) -> int:
        """Return how many bytes were taken."""


class Location(Protocol):
    """One file or folder of a lake, which need not be there. May block.

    What is done is durable when the call returns. Readers, and writers of the same file at the
    same time, see whole contents: the old one or the new one.
    Raises: OSError; FileNotFoundError only where a file that is asked for is not there.
    """

    def names(self) -> list[str]:
        """Return the names in a folder, none where it does not exist."""

    def walk(self) -> Iterator[tuple[LakePath, list[LakePath]]]:
        """Yield each folder from this one down that has files, and its files, in no order."""

    def stat(self) -> Stat:
        """Return size and time of a file; of one that was listed perhaps as of the listing."""

    def read(self) -> bytes:
        """Return the content of a file."""

    def opened(self) -> AbstractContextManager[Path | io.IOBase]:
        """Give what reads any part of a file without reading the rest."""

    def copied(self) -> AbstractContextManager[Path]:
        """Give a file of this machine of the same content, for what reads all of it."""

    def write(self, content: bytes | memoryview) -> None:
        """Put a file there, in place of what was there."""

    def write_new(self, content: bytes) -> bool:
        """Put a file there where none was; tell whether it did. Of several writers one does."""

    def stream(self) -> AbstractContextManager[ByteStream]:
        """Give what writes a file, which is there once the block has ended without an error."""

    def remove(self) -> None:
        """Remove a file; nothing where it is not there."""

    def remove_all(self) -> None:
        """Remove a folder with all that is in it."""

    def move(self, place: LakePath) -> None:
        """Move a file within the lake; nothing where it is not there."""

    def tidy(self) -> None:
        """Remove from a folder, and those below, what writers left there when they died."""


def at(path: LakePath) -> Location:
    """Return what can be done at `path`."""
    if isinstance(path, Path):
        return LocalLocation(path)
    from runfold.sinks.object_storage import ObjectLocation  # only who has such a lake needs it

    return ObjectLocation.of(path)


def write_file(path: LakePath, content: bytes | memoryview) -> None:
    """Make `content` the content of `path`, durably; repeating changes nothing.

    Raises: LakeUnavailable, with nothing left under `path` that was not there before.
    """
    with lake_errors(path, "write"):
        at(path).write(content)
