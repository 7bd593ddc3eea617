"""Whole files or none: bytes reach a name only when all of them are on the disk."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from typing_extensions import Buffer

TEMPORARY_SUFFIX = ".tmp"
ABANDONED_AFTER = timedelta(hours=1)

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def streamed_file(path: Path) -> Iterator[SyncedStream]:
    """Give what writes the content of `path`, which is there, durably, once the block has ended.

    Delivery: a reader sees the old file, none, or the whole new one; repeating changes nothing.
    Where the block raises, nothing is left under `path` that was not there before. Raises: OSError.
    """
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        with SyncedStream(temporary) as stream:
            yield stream
            stream.sync()
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def new_file(path: Path, content: Buffer) -> bool:
    """Make `content` the content of `path`, durably, where nothing is; tell whether it did.

    Raises: OSError.
    """
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        with SyncedStream(temporary) as stream:
            stream.write(content)
            stream.sync()
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}")


class SyncedStream(io.RawIOBase):
    """Writes a new file. Raises: OSError."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o644)
        self._written = 0

    def writable(self) -> bool:
        """Return true."""
        return True

    def write(self, content: Buffer, /) -> int:
        """Write all of `content`."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._written += len(memoryview(content))
        return len(memoryview(content))

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._written

    def sync(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; safe to repeat."""
        if not self.closed:
            os.close(self._descriptor)
            super().close()


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that a writer left in `folder` when it died.

    Only those older than an hour: a younger one may be another writer's. Raises: OSError.
    """
    before = time.time() - ABANDONED_AFTER.total_seconds()
    for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # its writer was alive after all
            if path.stat().st_mtime < before:
                path.unlink()
                _log.info("lake.temporary_removed", path=str(path))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably. Raises: OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):  # another writer was quicker
        folder.mkdir()
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Raises: OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
