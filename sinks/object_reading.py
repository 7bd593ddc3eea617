"""Reading parts of an object as if it were a file."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK_BYTES = 1024 * 1024
_MOST_BLOCKS = 8


class RangedFile(io.RawIOBase):
    """A file of which blocks are fetched as they are read; the last eight are kept.

    A Parquet file's columns lie beside each other: who reads several of them asks for few blocks.
    """

    def __init__(self, part: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._part = part
        self._size_bytes = size_bytes
        self._position = 0
        self._blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position, and return it."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}
        self._position = max(begin[whence] + offset, 0)
        return self._position

    def readinto(self, target: Buffer, /) -> int:
        """Read as many bytes as `target` takes, fewer only at the end. Raises: OSError."""
        view = memoryview(target).cast("B")
        end = min(self._position + len(view), self._size_bytes)
        if end <= self._position:
            return 0
        first, last = self._position // _BLOCK_BYTES, (end - 1) // _BLOCK_BYTES
        self._fetch(first, last)
        held = b"".join(self._blocks[block] for block in range(first, last + 1))
        start = self._position - first * _BLOCK_BYTES
        count = end - self._position
        view[:count] = held[start : start + count]
        self._position = end
        for block in list(self._blocks)[:-_MOST_BLOCKS]:
            del self._blocks[block]
        return count

    def _fetch(self, first: int, last: int) -> None:
        """Fetch at once what is missing of some blocks."""
        missing = [block for block in range(first, last + 1) if block not in self._blocks]
        if not missing:
            return
        start = missing[0] * _BLOCK_BYTES
        fetched = self._part(start, min((missing[-1] + 1) * _BLOCK_BYTES, self._size_bytes))
        for block in range(missing[0], missing[-1] + 1):
            at = block * _BLOCK_BYTES - start
            self._blocks[block] = fetched[at : at + _BLOCK_BYTES]
