"""Removing the files that were merged into others, once nobody reads them any more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import structlog

from runfold.schemas.errors import LakeCorrupt, LakeUnavailable
from runfold.schemas.lake import CompactionCounts
from runfold.sinks.compaction.plan import SizedFile
from runfold.sinks.file_labels import check_labels, counts_in
from runfold.sinks.lake_errors import is_gone, lake_errors
from runfold.sinks.lake_files import Kind, LakeFile
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_reading import parquet_file
from runfold.sinks.set_aside import reading
from runfold.sinks.storage import at

GRACE = timedelta(minutes=15)
"""A query that chose its files before the merged one was there has so long to open them."""

Covered = tuple[SizedFile, list[SizedFile]]

_log = structlog.get_logger(__name__)


def removable(files: Iterable[SizedFile], grace: timedelta) -> Iterator[Covered]:
    """Yield each file that has been there for `grace`, and the files whose offsets it all has.

    Shape: `files` are of one kind of one partition. Readers pass over the same ones: of two that
    cover each other the one whose path comes later.
    Raises: LakeUnavailable.
    """
    now = time.time()
    for covering, covered in _covered(files):
        with contextlib.suppress(FileNotFoundError), lake_errors(covering.file.path, "read"):
            if now - at(covering.file.path).stat().modified >= grace.total_seconds():
                yield covering, covered


def _covered(files: Iterable[SizedFile]) -> Iterator[Covered]:
    covering: SizedFile | None = None
    covered: list[SizedFile] = []
    for each in sorted(
        files, key=lambda each: (each.range.first, -each.range.last, each.file.path)
    ):
        if covering is not None and each.range.last <= covering.range.last:
            covered.append(each)
            continue
        if covering is not None and covered:
            yield covering, covered
        covering, covered = each, []
    if covering is not None and covered:
        yield covering, covered


def remove(root: LakePath, covering: LakeFile, covered: Iterable[SizedFile]) -> CompactionCounts:
    """Remove those of `covered` whose rows `covering` has; a damaged one stays, or is set aside.

    Raises: LakeUnavailable (retry).
    """
    removed = CompactionCounts()
    kept = _rows_of(root, covering)
    if kept is None:
        return removed
    for each in covered:
        path = each.file.path
        rows = _rows_of(root, each.file)
        if rows is None:
            continue
        if not kept.have_all_of(rows):
            _log.warning("lake.file_kept", path=str(path), reason=f"not all in {covering.path}")
            continue
        with lake_errors(path, "remove"):
            at(path).remove()
        removed += CompactionCounts(removed_files=1, removed_bytes=each.size_bytes)
    return removed


@dataclass(frozen=True, slots=True)
class _Rows:
    """What can be told of the rows of a file at little cost; of states no more than how many.

    Shape: `as_said` tells whether they are as many as the labels say; a file whose events were
    removed by age is `instead` of those it covers.
    """

    rows: int
    offsets: pl.Series | None
    as_said: bool
    instead: bool = False

    def have_all_of(self, other: _Rows) -> bool:
        """Tell whether the rows of `other`, whose offsets are among these, are as well."""
        if self.offsets is None or other.offsets is None:
            return self.rows >= other.rows  # a run that changed in the part did in the whole
        if self.instead:
            return self.as_said
        return self.as_said and bool(other.offsets.is_in(self.offsets.implode()).all())


def _rows_of(root: LakePath, file: LakeFile) -> _Rows | None:
    """Look into `file`; None where it is damaged, and set aside now, or gone."""
    try:
        with reading(root, file):
            said = counts_in(check_labels(file))
            with parquet_file(file.path) as parquet:
                rows = parquet.metadata.num_rows
                if file.kind is Kind.STATES:
                    return _Rows(rows, None, as_said=True)
                offsets = pl.Series(parquet.read(["offset"], use_threads=False)["offset"])
                as_said = said is not None and said.events + said.dead_letters == rows
                return _Rows(rows, offsets, as_said, said is not None and said.expired > 0)
    except LakeCorrupt:
        return None
    except LakeUnavailable as error:
        if not is_gone(error):
            raise
        return None
