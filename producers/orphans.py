"""Journals whose process is gone: taken over and shipped by whoever comes by."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from runfold.producers.debug import explain
from runfold.producers.journal_folder import (
    FolderLock,
    Owner,
    claim_folder,
    journals_below,
    owner_of,
    remove_folder,
    segment_sizes,
)
from runfold.producers.publisher import Publisher
from runfold.producers.shipping import JournalShipping, ShippedCounts


class Orphan:
    """A journal that this process has claimed; `release` lets others have it."""

    def __init__(self, folder: Path, lock: FolderLock, counts: ShippedCounts) -> None:
        self.folder = folder
        self.shipping = JournalShipping(folder, counts, live=False)
        self._lock = lock

    @classmethod
    def claim(cls, folder: Path, counts: ShippedCounts) -> Self | None:
        """Take over `folder`, None where its process lives or another was quicker."""
        lock = claim_folder(folder)
        return None if lock is None else cls(folder, lock, counts)

    @property
    def owner(self) -> Owner | None:
        """Who wrote it."""
        return owner_of(self.folder)

    async def ship_some(self, publisher: Publisher) -> int:
        """Ship a part; 0 when all is shipped, and the journal is deleted and released then.

        Raises: BrokerUnavailable (retry), OSError where it cannot be read.
        """
        lines = await self.shipping.ship_some(publisher)
        if not lines:
            explain(f"the journal that {self.folder.name} left is shipped")
            remove_folder(self.folder)
            self.release()
        return lines

    def release(self) -> None:
        """Let another process go on."""
        self.shipping.reader.close()
        self._lock.release()


async def ship_orphans(journal_dir: Path, publisher: Publisher) -> ShippedCounts:
    """Ship every journal below `journal_dir` whose process is gone, and delete it.

    Delivery: at least once; safe beside running clients and other callers of this.
    Raises: BrokerUnavailable (retry), OSError where a journal cannot be read.
    """
    counts = ShippedCounts()
    for folder in journals_below(journal_dir):
        await ship_orphan(folder, publisher, counts)
    return counts


async def ship_orphan(folder: Path, publisher: Publisher, counts: ShippedCounts) -> None:
    """Ship one journal unless its process lives; see `ship_orphans`."""
    orphan = Orphan.claim(folder, counts)
    if orphan is None:
        return
    try:
        while await orphan.ship_some(publisher):
            pass
    finally:
        orphan.release()


def waiting_orphans(journal_dir: Path) -> dict[Path, Owner | None]:
    """Return the journals below `journal_dir` that nobody ships just now, and who wrote them."""
    waiting = {}
    for folder in journals_below(journal_dir):
        lock = claim_folder(folder)
        if lock is not None:
            waiting[folder] = owner_of(folder)
            lock.release()
    return waiting


def drop_oldest_orphans(journal_dir: Path, limit_bytes: int, counts: ShippedCounts) -> None:
    """Drop segments of orphans, oldest first and declared, until all journals fit the limit.

    Each orphan keeps its last segment. Raises: OSError.
    """
    sizes = {
        folder: sum(size for _, size in segment_sizes(folder))
        for folder in journals_below(journal_dir)
    }
    excess = sum(sizes.values()) - limit_bytes
    for folder, size in sizes.items():
        if excess <= 0:
            return
        orphan = Orphan.claim(folder, counts)
        if orphan is not None:
            orphan.shipping.drop_oldest(max(size - excess, 0))
            excess -= size - sum(left for _, left in segment_sizes(folder))
            orphan.release()
