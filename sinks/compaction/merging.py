"""Carrying out what was planned: several files are written as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from runfold.sinks.compaction.merged_events import MergedEvents
from runfold.sinks.compaction.merged_states import MergedStates
from runfold.sinks.compaction.plan import Merge
from runfold.sinks.file_labels import labels
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_writers import (
    EVENTS_A_GROUP,
    STATES_A_GROUP,
    events_writer,
    states_writer,
)
from runfold.sinks.storage import at

_BYTES_A_GROUP = 32 * 1024 * 1024


class Stopped(Exception):
    """Who asked for the merge no longer wants it."""


def write_merged(root: LakePath, merge: Merge, stopped: Callable[[], bool]) -> int:
    """Write the file of `merge`, durably; return its bytes. Its sources stay.

    Memory: the rows of one group, and what they become when they are written.
    Delivery: idempotent; a crash leaves the lake as it was.
    Raises: LakeUnavailable (retry); LakeCorrupt after setting a damaged source aside;
    NotMergeable; Stopped.
    """
    result = merge.result
    events = result.kind is Kind.EVENTS
    rows = MergedEvents(root, merge.tiles) if events else MergedStates(root, merge.tiles)
    with lake_errors(merge.path, "write"), at(merge.path).stream() as stream:
        with events_writer(stream) if events else states_writer(stream) as writer:
            for group in _groups(rows, EVENTS_A_GROUP if events else STATES_A_GROUP):
                if stopped():
                    raise Stopped
                writer.write_table(group)
            said = labels(result.kind, result.log, result.range, rows.counts)
            writer.add_key_value_metadata(said)
        if stopped():
            raise Stopped
        return stream.tell()


def _groups(portions: Iterable[pa.Table], most_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of `portions` as groups of so many rows, fewer where these are long."""
    waiting: list[pa.Table] = []
    rows = size_bytes = 0
    for portion in portions:
        rest = portion
        while rest.num_rows:
            piece, rest = rest.slice(0, most_rows - rows), rest.slice(most_rows - rows)
            waiting.append(piece)
            rows += piece.num_rows
            size_bytes += piece.nbytes
            if rows == most_rows or size_bytes >= _BYTES_A_GROUP:
                yield pa.concat_tables(waiting)
                waiting, rows, size_bytes = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)
