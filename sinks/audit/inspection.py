"""Looking at one lake file: whether it is what its path says, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from runfold.schemas.errors import LakeCorrupt
from runfold.sinks.file_labels import ERASED, EXPIRED, LOST, check_identity
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind, LakeFile
from runfold.sinks.parquet_reading import parquet_file

_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in an events file. `increasing` says that the offsets of its rows are, strictly."""

    dead_letters: int
    first: int | None
    last: int | None
    increasing: bool


@dataclass(frozen=True, slots=True)
class Inspected:
    """One file that is what its path says. `contents` is None for states, and where not asked."""

    file: LakeFile
    labels: dict[str, str]
    rows: int
    contents: Contents | None

    @property
    def lost(self) -> int:
        """How many records of its range someone accepted as lost."""
        return self.count(LOST) or 0

    @property
    def expired(self) -> int:
        """How many records of its range were removed by age."""
        return self.count(EXPIRED) or 0

    @property
    def erased(self) -> int:
        """How many records of its range were removed for their subject."""
        return self.count(ERASED) or 0

    def count(self, label: str) -> int | None:
        """Return the number that a label says, None where it says none."""
        said = self.labels.get(label, "")
        return int(said) if said.isdecimal() else None


def inspect(file: LakeFile, *, closely: bool) -> Inspected:
    """Read the footer of `file` and, `closely`, the offsets of its events.

    Raises: LakeCorrupt naming the file where it is empty, truncated, no Parquet or something else;
    LakeUnavailable where it cannot be opened.
    """
    try:
        with lake_errors(file.path, "read"):
            return _inspect(file, closely)
    except pa.ArrowException as error:
        raise LakeCorrupt(f"{file.path}: {error}") from error


def _inspect(file: LakeFile, closely: bool) -> Inspected:
    try:
        with parquet_file(file.path) as parquet:
            raw: dict[bytes, bytes] = parquet.metadata.metadata or {}
            labels = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in raw.items()
            }
            check_identity(file, labels)
            wanted = closely and file.kind is Kind.EVENTS
            contents = _contents(parquet) if wanted else None
            return Inspected(file, labels, parquet.metadata.num_rows, contents)
    except OSError as error:
        if error.errno is None:  # Arrow says so of a page that cannot be unpacked
            raise LakeCorrupt(f"{file.path}: {error}") from error
        raise


def _contents(parquet: pq.ParquetFile) -> Contents:
    dead_letters, lows, highs, increasing = 0, list[int](), list[int](), True
    for offsets, dead in _pieces(parquet):
        dead_letters += dead
        begins_later = not highs or offsets[0] > highs[-1]
        rises = bool((offsets.diff(null_behavior="drop") > 0).all())
        increasing = increasing and begins_later and rises
        lows += offsets.bottom_k(1).to_list()
        highs += offsets.top_k(1).to_list()
    return Contents(dead_letters, min(lows, default=None), max(highs, default=None), increasing)


def _pieces(parquet: pq.ParquetFile) -> Iterator[tuple[pl.Series, int]]:
    """Yield the offsets of some rows, and how many of these are dead letters."""
    columns = ["offset", "dead_letter_reason"]
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=columns, use_threads=False):
        reasons = batch.column("dead_letter_reason")
        if batch.num_rows:
            yield pl.Series(batch.column("offset")), batch.num_rows - reasons.null_count
