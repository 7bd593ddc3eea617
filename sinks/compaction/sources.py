"""The files that a merge reads: what they say of themselves, and their rows in portions."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from runfold.schemas.lake import FlushCounts
from runfold.sinks.file_labels import check_labels, counts_in, labels
from runfold.sinks.lake_files import LakeFile
from runfold.sinks.object_path import LakePath
from runfold.sinks.older_files import with_columns
from runfold.sinks.parquet_reading import whole_parquet_file
from runfold.sinks.set_aside import reading

_READ_AHEAD_BYTES = 8 * 1024
"""Of each column of each source that is open."""
_ROWS_AT_ONCE = 8192
_CELL_BYTES = 12
"""In memory also an empty cell has some; on the disk it has none."""


class NotMergeable(Exception):
    """A file is sound, but nothing that this program may rewrite."""

    def __init__(self, file: LakeFile, reason: str) -> None:
        super().__init__(f"{file.path}: {reason}")
        self.file = file
        self.reason = reason


def source_counts(root: LakePath, file: LakeFile) -> FlushCounts:
    """Return what `file` says became of the records of its range.

    Raises: LakeUnavailable; LakeCorrupt after setting it aside; NotMergeable where a newer runfold
    wrote it, or where it says what a merged file could not.
    """
    with reading(root, file):
        said = check_labels(file)
    counts = counts_in(said)
    if counts is None:
        raise NotMergeable(file, "its labels have no counts")
    known = labels(file.kind, file.log, file.range, counts)
    if strange := sorted(each for each in said.keys() - known if each.startswith("runfold.")):
        raise NotMergeable(file, f"its label {strange[0]} is not known here")
    version = said.get("runfold.schema_version", "")
    if not version.isdecimal() or int(version) > int(known["runfold.schema_version"]):
        raise NotMergeable(file, f"its schema version {version!r} is not known here")
    return counts


def portions(
    root: LakePath, file: LakeFile, schema: pa.Schema, *, most_bytes: int
) -> Iterator[pa.Table]:
    """Yield the rows of `file` in their order, with the columns of `schema`.

    Memory: about `most_bytes`, or one row. Raises: LakeUnavailable, LakeCorrupt, NotMergeable.
    """
    with (
        reading(root, file),
        whole_parquet_file(file.path, read_ahead_bytes=_READ_AHEAD_BYTES) as parquet,
    ):
        if strange := sorted(set(parquet.schema_arrow.names) - set(schema.names)):
            raise NotMergeable(file, f"its column {strange[0]} is not known here")
        for group in range(parquet.num_row_groups):
            about = parquet.metadata.row_group(group)
            row_bytes = about.total_byte_size // max(about.num_rows, 1)
            row_bytes += about.num_columns * _CELL_BYTES
            for batch in parquet.iter_batches(
                batch_size=max(1, min(_ROWS_AT_ONCE, most_bytes // row_bytes)),
                row_groups=[group],
                use_threads=False,  # the cores are for folding
            ):
                yield with_columns(batch, schema)
