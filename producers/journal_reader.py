"""Reading a journal from where it is shipped, while its process may still be writing it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runfold.producers.debug import explain
from runfold.producers.journal_folder import (
    Position,
    read_position,
    segment_numbers,
    segment_path,
    write_position,
)

READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of one segment, without their newlines, and the position behind them.

    Shape: `torn` counts lines that have no end and never will; they are not in `lines`.
    """

    lines: list[bytes]
    end: Position
    torn: int = 0


class JournalReader:
    """Reads the journal in `folder` in order, from the first line that is not shipped.

    `live` says that its process is this one and goes on writing: the last segment's unfinished
    line is then awaited instead of counted as torn.
    """

    def __init__(self, folder: Path, *, live: bool) -> None:
        self.folder = folder
        self.position = read_position(folder)
        self._live = live
        self._file: tuple[int, int] | None = None

    def read(self) -> Chunk | None:
        """Return the next lines after `position`, None where there are none yet.

        A chunk without lines moves the position to the next segment. Raises: OSError.
        """
        numbers = segment_numbers(self.folder)
        at = self.position
        if at.segment not in numbers:
            later = [number for number in numbers if number > at.segment]
            return Chunk([], Position(later[0], 0)) if later else None
        last = at.segment == numbers[-1]  # known before reading: a finished one grows no more
        block, size = self._read_lines(at)
        end = block.rfind(b"\n") + 1
        if end:
            return Chunk(block[: end - 1].split(b"\n"), Position(at.segment, at.offset + end))
        if last and (self._live or not block):
            return None
        following = Position(at.segment + 1, 0)
        return Chunk([], following, torn=1 if size > at.offset else 0)

    def advance(self, position: Position) -> None:
        """Remember that all before `position` is shipped and delete the segments before it.

        Where the disk refuses, this process goes on and the next one ships the same again.
        """
        self.position = position
        try:
            write_position(self.folder, position)
            for number in segment_numbers(self.folder):
                if number < position.segment:
                    segment_path(self.folder, number).unlink(missing_ok=True)
        except OSError as error:
            explain("the journal's position cannot be kept", error)

    def close(self) -> None:
        """Close the segment that is open."""
        if self._file is not None:
            os.close(self._file[1])
        self._file = None

    def _read_lines(self, at: Position) -> tuple[bytes, int]:
        """Return bytes from `at` on that hold at least one whole line if there is one."""
        if self._file is None or self._file[0] != at.segment:
            self.close()
            path = segment_path(self.folder, at.segment)
            self._file = (at.segment, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        descriptor = self._file[1]
        size = os.fstat(descriptor).st_size
        wanted = READ_BYTES
        while True:
            block = os.pread(descriptor, wanted, at.offset)
            if b"\n" in block or len(block) < wanted:
                return block, size
            wanted *= 4
