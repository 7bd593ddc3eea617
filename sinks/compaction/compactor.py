"""Keeping the files of a lake few: merging, and removing what was merged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta

import structlog

from runfold.schemas.errors import LakeCorrupt, LakeUnavailable
from runfold.schemas.lake import CompactionCounts
from runfold.schemas.offsets import LogPartition
from runfold.sinks.compaction.merging import Stopped, write_merged
from runfold.sinks.compaction.plan import Merge, SizedFile, plan
from runfold.sinks.compaction.sources import NotMergeable
from runfold.sinks.compaction.vacuum import GRACE, removable, remove
from runfold.sinks.erasure.record import is_erasing
from runfold.sinks.lake_errors import is_gone, lake_errors
from runfold.sinks.lake_files import Kind, list_files, tidy
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at

_log = structlog.get_logger(__name__)


def _or_erasing(lake: LakePath, stopped: Callable[[], bool]) -> Callable[[], bool]:
    """Return what says to stop also where rows are erased, which a merged file would bring back."""
    return lambda: stopped() or is_erasing(lake)


class Compactor:
    """Compacts the lake in `root`. Several may do so at once; one is used by one thread."""

    def __init__(
        self, root: LakePath, grace: timedelta = GRACE, *, lake: LakePath | None = None
    ) -> None:
        """Shape: `lake` is where the lake is, where `root` has another set of states."""
        self._root = root
        self._lake = root if lake is None else lake
        self._grace = grace
        self._left_out: set[LakePath] = set()

    def compact(
        self, log: LogPartition, *, stopped: Callable[[], bool] = lambda: False
    ) -> CompactionCounts:
        """Compact one partition. See `LakeStore.compact`."""
        with lake_errors(self._root, "list"):
            tidy(self._root, log)
        done = self.vacuum(log)  # first, since merging takes room
        stopped = _or_erasing(self._lake, stopped)
        try:
            for kind in Kind:
                for merge in self._merges(log, kind):
                    done += self._merged(merge, stopped)
        except Stopped:
            return done
        return done + self.vacuum(log)

    def files(self, log: LogPartition, kind: Kind) -> list[SizedFile]:
        """Return the files of one kind of `log` with their sizes. Raises: LakeUnavailable."""
        found = []
        with lake_errors(self._root, "list"):
            for file in list_files(self._root, log, kind):
                with contextlib.suppress(FileNotFoundError):  # removed in this moment
                    size_bytes = at(file.path).stat().size_bytes
                    found.append(SizedFile(file, size_bytes, file.path not in self._left_out))
        return found

    def _merges(self, log: LogPartition, kind: Kind) -> Iterator[Merge]:
        while merges := plan(self.files(log, kind)):
            yield from merges

    def _merged(self, merge: Merge, stopped: Callable[[], bool]) -> CompactionCounts:
        try:
            written_bytes = write_merged(self._root, merge, stopped)
        except LakeCorrupt:  # it has been set aside
            return CompactionCounts()
        except NotMergeable as error:
            self._left_out.add(error.file.path)
            _log.warning("lake.file_not_merged", path=str(error.file.path), reason=error.reason)
            return CompactionCounts()
        except LakeUnavailable as error:
            if not is_gone(error):  # by another one that compacts
                raise
            return CompactionCounts()
        _log.info(
            "lake.files_merged",
            path=str(merge.path),
            files=len(merge.tiles),
            read_bytes=merge.size_bytes,
            written_bytes=written_bytes,
        )
        return CompactionCounts(len(merge.tiles), merge.size_bytes, 1, written_bytes)

    def vacuum(self, log: LogPartition) -> CompactionCounts:
        """Remove the files of one partition that others have displaced. Raises: LakeUnavailable."""
        removed = CompactionCounts()
        for kind in Kind:
            for covering, covered in removable(self.files(log, kind), self._grace):
                removed += remove(self._root, covering.file, covered)
        return removed
