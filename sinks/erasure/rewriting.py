"""Taking the rows of some runs out of every file of a lake.

A file is replaced under its name by one of the same range without these rows; its labels say of how
many records. Files that others have displaced, and that wait to be removed, are rewritten as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema
from runfold.schemas.errors import LakeCorrupt, LakeUnavailable
from runfold.schemas.lake import FlushCounts
from runfold.sinks.compaction.sources import portions, source_counts
from runfold.sinks.compaction.whole_lake import tops
from runfold.sinks.erasure.record import Erasure
from runfold.sinks.file_labels import labels
from runfold.sinks.lake_errors import is_gone, lake_errors
from runfold.sinks.lake_files import Kind, LakeFile, list_set_aside, list_whole_lake
from runfold.sinks.object_path import LakePath
from runfold.sinks.objects import OBJECTS_FOLDER
from runfold.sinks.parquet_reading import columns_of
from runfold.sinks.parquet_writers import events_writer, states_writer
from runfold.sinks.set_aside import reading
from runfold.sinks.storage import at

OnFile = Callable[[LakeFile], None]
"""Told which file is looked at next."""

_BYTES_AT_ONCE = 8 * 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")


def erase_rows(root: LakePath, erasure: Erasure, on_file: OnFile) -> Counter[str]:
    """Remove the rows, and the documents that only they refer to; return how many of what.

    Delivery: safe beside workers and readers, to break off and to repeat. What was set aside of
    the lake is removed: it may hold rows and cannot be rewritten.
    Raises: LakeUnavailable; LakeCorrupt after setting a file aside; NotMergeable.
    """
    removed = Counter[str]()
    digests: set[str] = set()
    for top in tops(root):
        for kind in (Kind.EVENTS, Kind.STATES) if top == root else (Kind.STATES,):
            for file in _listed(top, kind):
                on_file(file)
                removed[str(kind)] += _erased_from(top, file, erasure, digests)
        for path in list_set_aside(top):
            with lake_errors(path, "remove"):
                at(path).remove()
            removed["files set aside"] += 1
    removed["documents"] += _erase_documents(root, digests)
    return removed


def runs_in(root: LakePath, file: LakeFile, erasure: Erasure) -> set[str]:
    """Return which of the runs have rows in `file`; none where it is gone.

    Raises: LakeUnavailable; LakeCorrupt after setting it aside.
    """
    try:
        with reading(root, file):
            run_ids = columns_of(file.path, ["run_id"])["run_id"].unique().to_list()
    except LakeUnavailable as error:
        if not is_gone(error):
            raise
        return set()
    return erasure.chosen(run_ids)


def _listed(top: LakePath, kind: Kind) -> list[LakeFile]:
    with lake_errors(top, "list"):
        return list_whole_lake(top, kind)[0]


def _erased_from(top: LakePath, file: LakeFile, erasure: Erasure, digests: set[str]) -> int:
    """Rewrite one file; return how many rows it has lost."""
    try:
        chosen = runs_in(top, file, erasure)
    except LakeCorrupt:  # it has been set aside, and goes with what is there
        return 0
    if not chosen:
        return 0
    counts = source_counts(top, file)
    events = file.kind is Kind.EVENTS
    runs = pa.array(sorted(chosen), pa.string())
    gone = FlushCounts()
    with lake_errors(file.path, "write"), at(file.path).stream() as stream:
        with events_writer(stream) if events else states_writer(stream) as writer:
            for rows in _portions(top, file):
                is_gone_now = pc.fill_null(pc.is_in(rows["run_id"], runs), False)
                taken = rows.filter(is_gone_now)
                gone += _counts(taken, file.kind)
                digests |= _digests(taken) if events else set()
                if taken.num_rows < rows.num_rows:
                    writer.write_table(rows.filter(pc.invert(is_gone_now)))
            left = counts - gone if events else counts
            writer.add_key_value_metadata(labels(file.kind, file.log, file.range, left))
    return gone.records if events else len(chosen)


def _portions(top: LakePath, file: LakeFile) -> Iterator[pa.Table]:
    schema = lake_event_schema() if file.kind is Kind.EVENTS else lake_state_schema()
    return portions(top, file, schema, most_bytes=_BYTES_AT_ONCE)


def _counts(rows: pa.Table, kind: Kind) -> FlushCounts:
    """Return what is to be taken off the counts of a file that loses `rows`."""
    if kind is Kind.STATES:
        return FlushCounts()
    dead = rows.num_rows - rows["dead_letter_reason"].null_count
    return FlushCounts(rows.num_rows, rows.num_rows - dead, 0, dead, erased=-rows.num_rows)


def _digests(rows: pa.Table) -> set[str]:
    texts = pl.Series(rows["attributes"]).drop_nulls()
    return {digest for text in texts for digest in _DIGEST.findall(text)}


def _erase_documents(root: LakePath, digests: set[str]) -> int:
    """Remove the documents of these digests that no event refers to any more."""
    with lake_errors(root, "list"):
        documents = {
            digest: path
            for _, files in at(root / OBJECTS_FOLDER).walk()
            for path in files
            if (digest := path.name.partition(".")[0]) in digests
        }
    if not documents:
        return 0
    for file in _listed(root, Kind.EVENTS):
        with reading(root, file):
            texts = columns_of(file.path, ["attributes"])["attributes"].drop_nulls()
        for text in texts:
            for digest in _DIGEST.findall(text):
                documents.pop(digest, None)
    for path in documents.values():
        with lake_errors(path, "remove"):
            at(path).remove()
    return len(documents)
