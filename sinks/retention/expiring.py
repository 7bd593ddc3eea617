"""Removing events by age: a file without them takes the place of those that hold them.

It covers their range, so readers take it instead at once; the others go when the grace is over, by
whoever compacts. What the ledger needs for ever stays in it: dead letters without their words, and
what clients declared as dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.lake import CompactionCounts, FlushCounts
from runfold.schemas.vocabulary import DROPPED_EVENT
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.compaction.sources import portions, source_counts
from runfold.sinks.file_labels import labels
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import (
    REMAINS_DATE,
    SET_ASIDE_FOLDER,
    WHOLE_DAY,
    Kind,
    file_name,
    list_logs,
    topic_folder,
)
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_writers import events_writer
from runfold.sinks.retention.plan import Expiry, events_begin
from runfold.sinks.storage import at

_BYTES_AT_ONCE = 8 * 1024 * 1024


def expire(
    root: LakePath, plans: list[Expiry], grace: timedelta, *, on_log: Callable[[Expiry], None]
) -> CompactionCounts:
    """Remove the events of `plans`; what readers may have chosen already stays for `grace`.

    Delivery: safe beside workers and readers, to break off anywhere and to repeat.
    Raises: LakeUnavailable; LakeCorrupt after setting a damaged file aside; NotMergeable.
    """
    for each in plans:
        on_log(each)
        _write_remains(root, each)
        _remove_set_aside(each)
    with lake_errors(root, "list"):
        logs = [log for log in list_logs(root) if events_begin(root, log)]
    done = CompactionCounts()
    for log in logs:  # of earlier calls too, whose grace is over by now
        done += Compactor(root, grace).vacuum(log)
    return done


def _write_remains(root: LakePath, expiry: Expiry) -> None:
    folder = topic_folder(root, expiry.log.topic_id) / Kind.EVENTS / REMAINS_DATE / WHOLE_DAY
    path = folder / file_name(expiry.log.partition, expiry.range)
    kept = FlushCounts()
    lost = sum(min(source_counts(root, each.source).lost, len(each.range)) for each in expiry.tiles)
    with lake_errors(path, "write"), at(path).stream() as stream:
        with events_writer(stream) as writer:
            for rows in _remaining(root, expiry):
                writer.write_table(rows)
                dead = rows.num_rows - rows["dead_letter_reason"].null_count
                kept += FlushCounts(rows.num_rows, rows.num_rows - dead, 0, dead)
            expired = len(expiry.range) - kept.records - lost
            counts = kept + FlushCounts(lost=lost, expired=expired)
            said = labels(Kind.EVENTS, expiry.log, expiry.range, counts)
            writer.add_key_value_metadata(said)


def _remaining(root: LakePath, expiry: Expiry) -> Iterator[pa.Table]:
    """Yield the rows that stay, in log order."""
    schema = lake_event_schema()
    words = schema.get_field_index("dead_letter_message")
    for tile in expiry.tiles:
        for rows in portions(root, tile.source, schema, most_bytes=_BYTES_AT_ONCE):
            is_dead = pc.is_valid(rows["dead_letter_reason"])
            is_declaration = pc.and_(
                pc.equal(rows["event_type"], "custom"), pc.equal(rows["name"], DROPPED_EVENT)
            )
            stays = pc.or_(is_dead, pc.fill_null(is_declaration, False))
            within = pc.greater_equal(rows["offset"], tile.range.first)
            left = rows.filter(pc.and_(stays, within))
            if left.num_rows:
                nothing = pa.nulls(left.num_rows, schema.field(words).type)
                yield left.set_column(words, schema.field(words), nothing)


def _remove_set_aside(expiry: Expiry) -> None:
    for each in expiry.files:
        if SET_ASIDE_FOLDER in str(each.path):
            with lake_errors(each.path, "remove"):
                at(each.path).remove()
