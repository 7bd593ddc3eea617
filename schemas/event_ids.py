"""Event ids: how they are minted, and sets of them that stay small.

A minted id is `<producer>-<sequence>`. A producer numbers the events of one run from 1 without
holes, so that the ids of a run compress to a range and a hole is a loss that can be named. Ids
from elsewhere, any string, are kept as 128-bit hashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from runfold.schemas.offsets import OffsetRange

MINTED_ID_PATTERN = r"^(rf[0-9a-f]{20}(?:\.[0-9]+)?)-([1-9][0-9]{0,17})$"
HASH_BYTES = 16

_minted = re.compile(MINTED_ID_PATTERN, re.ASCII).fullmatch  # `$` alone lets a newline pass
_minted_beginnings = re.compile(rb"rf[0-9a-f]{20}[.-]").finditer
_LONGEST_SHORT_TEXT = 63
"""Avro writes the length of a text of so many bytes into one byte, doubled."""


def split_minted_id(event_id: str) -> tuple[str, int] | None:
    """Return producer and sequence of a minted id, None for an id from elsewhere."""
    match = _minted(event_id)
    return (match[1], int(match[2])) if match else None


def find_minted_id(record: bytes) -> str | None:
    """Return the first minted id that stands as a text in the bytes of a damaged Avro record."""
    for beginning in _minted_beginnings(record):
        at = beginning.start()
        length, odd = divmod(record[at - 1], 2) if at else (0, 1)
        text = record[at : at + length].decode("latin-1")
        if not odd and len(text) == length <= _LONGEST_SHORT_TEXT and _minted(text):
            return text
    return None


def hash_foreign_id(event_id: str) -> bytes:
    """Return the 128 bits by which an id from elsewhere is remembered."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()


class EventIdSet:
    """The event ids that one run has seen.

    Shape: for each producer a sorted list of the bounds of disjoint, unadjoining ranges
    (`[first, last, first, last, …]`, both included); other ids as hashes.
    """

    __slots__ = ("hashes", "ranges")

    def __init__(self) -> None:
        self.ranges: dict[str, list[int]] = {}
        self.hashes: set[bytes] = set()

    def copy(self) -> EventIdSet:
        """Return a set that shares nothing with this one."""
        twin = EventIdSet()
        twin.ranges = {producer: bounds.copy() for producer, bounds in self.ranges.items()}
        twin.hashes = self.hashes.copy()
        return twin

    def add(self, event_id: str) -> bool:
        """Remember `event_id`; return False where it was known already."""
        minted = split_minted_id(event_id)
        if minted is not None:
            return self.add_sequence(*minted)
        known_before = len(self.hashes)
        self.hashes.add(hash_foreign_id(event_id))
        return len(self.hashes) > known_before

    def add_sequence(self, producer: str, sequence: int) -> bool:
        """Remember one minted id; return False where it was known already."""
        bounds = self.ranges.get(producer)
        if bounds is None:
            self.ranges[producer] = [sequence, sequence]
            return True
        if sequence == bounds[-1] + 1:
            bounds[-1] = sequence
            return True
        return self._insert(bounds, sequence)

    def extend(self, producer: str, first: int, last: int) -> bool:
        """Remember sequences `first` to `last` where all of them are after every known one.

        Returns False, with nothing remembered, where some may be known.
        """
        bounds = self.ranges.get(producer)
        if bounds is None:
            self.ranges[producer] = [first, last]
        elif first == bounds[-1] + 1:
            bounds[-1] = last
        elif first > bounds[-1]:
            bounds += (first, last)
        else:
            return False
        return True

    @staticmethod
    def _insert(bounds: list[int], sequence: int) -> bool:
        low, high = 0, len(bounds) // 2
        while low < high:
            middle = (low + high) // 2
            if bounds[2 * middle + 1] < sequence:
                low = middle + 1
            else:
                high = middle
        at = 2 * low
        if at < len(bounds) and bounds[at] <= sequence:
            return False
        joins_left = at > 0 and bounds[at - 1] + 1 == sequence
        joins_right = at < len(bounds) and bounds[at] - 1 == sequence
        if joins_left and joins_right:
            del bounds[at - 1 : at + 1]
        elif joins_left:
            bounds[at - 1] = sequence
        elif joins_right:
            bounds[at] = sequence
        else:
            bounds[at:at] = (sequence, sequence)
        return True

    def __contains__(self, event_id: str) -> bool:
        minted = split_minted_id(event_id)
        if minted is None:
            return hash_foreign_id(event_id) in self.hashes
        producer, sequence = minted
        return any(sequence in piece for piece in self.ranges_of(producer))

    def __len__(self) -> int:
        minted = sum(
            bounds[i + 1] - bounds[i] + 1
            for bounds in self.ranges.values()
            for i in range(0, len(bounds), 2)
        )
        return minted + len(self.hashes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventIdSet):
            return NotImplemented
        return self.ranges == other.ranges and self.hashes == other.hashes

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"EventIdSet({self.ranges!r}, {len(self.hashes)} foreign)"

    def ranges_of(self, producer: str) -> Iterator[OffsetRange]:
        """Yield the sequences known of `producer`, as ranges in order."""
        bounds = self.ranges.get(producer, [])
        for i in range(0, len(bounds), 2):
            yield OffsetRange(bounds[i], bounds[i + 1])

    def missing(self) -> dict[str, list[OffsetRange]]:
        """Return for each producer the sequences from 1 to its last that were never seen."""
        holes: dict[str, list[OffsetRange]] = {}
        for producer in self.ranges:
            expected = 1
            for piece in self.ranges_of(producer):
                if piece.first > expected:
                    holes.setdefault(producer, []).append(OffsetRange(expected, piece.first - 1))
                expected = piece.next_offset
        return holes

    def packed_hashes(self) -> bytes:
        """Return the foreign ids' hashes, sorted and joined."""
        return b"".join(sorted(self.hashes))

    @classmethod
    def unpack(cls, ranges: Iterable[tuple[str, list[int]]], hashes: bytes) -> EventIdSet:
        """Rebuild a set from `ranges` and what `packed_hashes` gave."""
        known = cls()
        known.ranges = {producer: list(bounds) for producer, bounds in ranges}
        known.hashes = {hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)}
        return known
