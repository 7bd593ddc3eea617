"""What a lake file says of itself, in the key-value metadata of its footer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import polars as pl
import pyarrow as pa

from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.lake import FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind, LakeFile
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_reading import metadata_of

LOST = "runfold.lost"
"""Set where someone accepted that the records of the range are gone: how many."""

EXPIRED = "runfold.expired"
"""Set where rows were removed by age: of how many records."""
ERASED = "runfold.erased"
"""Set where rows were removed for their subject: of how many records."""

_SCHEMA_NAMES = {Kind.EVENTS: "event", Kind.STATES: "run_state"}


def labels(
    kind: Kind, log: LogPartition, offsets: OffsetRange, counts: FlushCounts
) -> dict[str, str]:
    """Return what a file of `kind` over `offsets` says of itself."""
    return {
        **_identity(kind, log, offsets),
        "runfold.schema_version": str(latest(_SCHEMA_NAMES[kind]).version),
        "runfold.records": str(counts.records),
        "runfold.events": str(counts.events),
        "runfold.duplicates": str(counts.duplicates),
        "runfold.dead_letters": str(counts.dead_letters),
        LOST: str(counts.lost),
        **({EXPIRED: str(counts.expired)} if counts.expired else {}),
        **({ERASED: str(counts.erased)} if counts.erased else {}),
    }


def counts_in(said: Mapping[str, str]) -> FlushCounts | None:
    """Return the counts among the labels of a file, None where there are none."""
    said = {LOST: "0", EXPIRED: "0", ERASED: "0", **said}  # most files do not say them
    names = [f"runfold.{each.name}" for each in dataclasses.fields(FlushCounts)]
    try:
        return FlushCounts(*(int(said[name]) for name in names))
    except (KeyError, ValueError):
        return None


def check_labels(file: LakeFile) -> dict[str, str]:
    """Compare what `file` says of itself with its path; return it.

    Raises: LakeUnavailable; LakeCorrupt naming the file where it is empty, truncated, no Parquet
    or holds something else.
    """
    said = read_labels(file.path)
    check_identity(file, said)
    return said


def check_identity(file: LakeFile, said: Mapping[str, str]) -> None:
    """Compare the labels of `file` with its path. Raises: LakeCorrupt naming the file."""
    for name, value in _identity(file.kind, file.log, file.range).items():
        # The first lakes did not say the kind; their folders do.
        if said.get(name, value if name == "runfold.kind" else None) != value:
            inside = said.get(name, "absent")
            raise LakeCorrupt(f"{file.path}: {name} is {inside} in the file, {value} by its path")


def read_labels(path: LakePath) -> dict[str, str]:
    """Return the key-value metadata of a Parquet file. Raises: LakeUnavailable, LakeCorrupt."""
    try:
        with lake_errors(path, "read"):
            return metadata_of(path)
    except (pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise LakeCorrupt(f"{path}: {error}") from error


def _identity(kind: Kind, log: LogPartition, offsets: OffsetRange) -> dict[str, str]:
    return {
        "runfold.kind": kind.value,
        "runfold.topic_id": log.topic_id,
        "runfold.partition": str(log.partition),
        "runfold.first_offset": str(offsets.first),
        "runfold.last_offset": str(offsets.last),
    }
