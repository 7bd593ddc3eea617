"""Reading parts of an object as if it were a file."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK_BYTES = 1024 * 1024
_MOST_BLOCKS = 8


class RangedFile(io.RawIOBase):
    """A file of which blocks are fetched as they are read; the last eight are kept.

    A Parquet file's columns lie beside each other: who reads several of them asks for few blocks.
    DuckDB lets several threads seek and read in one file, so each has a position of its own.
    """

    def __init__(self, part: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._part = part
        self._size_bytes = size_bytes
        self._thread = threading.local()
        self._blocks: dict[int, bytes] = {}
        self._fetching = threading.Lock()

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return int(getattr(self._thread, "position", 0))

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position, and return it."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size_bytes}
        self._thread.position = max(begin[whence] + offset, 0)
        return self.tell()

    def readinto(self, target: Buffer, /) -> int:
        """Read as many bytes as `target` takes, fewer only at the end. Raises: OSError."""
        view = memoryview(target).cast("B")
        start = self.tell()
        count = min(len(view), self._size_bytes - start)
        if count <= 0:
            return 0
        first, last = start // _BLOCK_BYTES, (start + count - 1) // _BLOCK_BYTES
        with self._fetching:
            blocks = self._held(first, last)
        skipped = start - first * _BLOCK_BYTES
        view[:count] = blocks[skipped : skipped + count]
        self._thread.position = start + count
        return count

    def _held(self, first: int, last: int) -> bytes:
        """Return some blocks, after fetching at once what is missing of them."""
        missing = [block for block in range(first, last + 1) if block not in self._blocks]
        if missing:
            start = missing[0] * _BLOCK_BYTES
            fetched = self._part(start, min((missing[-1] + 1) * _BLOCK_BYTES, self._size_bytes))
            for block in range(missing[0], missing[-1] + 1):
                at = block * _BLOCK_BYTES - start
                self._blocks[block] = fetched[at : at + _BLOCK_BYTES]
        held = b"".join(self._blocks[block] for block in range(first, last + 1))
        for block in list(self._blocks)[:-_MOST_BLOCKS]:
            del self._blocks[block]
        return held
