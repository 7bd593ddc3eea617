"""What became of a lake since it was exported: lost, cut off by retention, or of other states."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import psycopg

from runfold.schemas.offsets import LogPartition, OffsetRange, without
from runfold.sinks.lake_files import Kind
from runfold.sinks.object_path import LakePath
from runfold.sinks.postgres.held import Held
from runfold.sinks.postgres.lake_reader import LakeReader
from runfold.sinks.postgres.stale import freeze
from runfold.sinks.postgres.watermarks import Exported, read_watermarks, write_watermarks
from runfold.sinks.state_sets import serving_set

_SERVING = "states"
_KEPT_FROM = "kept_from"
"""Since when, by the log's time, the lake is whole."""


def why_rebuild(
    connection: psycopg.Connection, root: LakePath, held: Mapping[Kind, Held]
) -> str | None:
    """Return why what was exported is no longer what the lake says, None where it is."""
    serving = _read(connection, _SERVING)
    if serving is not None and serving != repr(serving_set(root)):
        return "another set of states serves"
    for kind in Kind:
        if _lost(read_watermarks(connection, kind), held[kind]):
            return f"the lake has lost {kind} that were exported"
    return None


def _lost(exported: Exported, held: Held) -> bool:
    covered = held.covered
    for log, ranges in exported.items():
        begins = _begin(held, covered, log)
        if begins is None:
            return True
        if any(each.last >= begins for each in without(ranges, covered.get(log, ()))):
            return True
    return False


def _begin(
    held: Held, covered: Mapping[LogPartition, list[OffsetRange]], log: LogPartition
) -> int | None:
    """Return where a log begins in the lake, or is to go on where all of it was removed by age."""
    return covered[log][0].first if log in covered else held.expired.get(log)


def fewer_rows(connection: psycopg.Connection, reader: LakeReader) -> bool:
    """Tell whether the lake has not as many rows as were exported of the same offsets.

    So what was lost and accepted, or erased, while nobody exported is noticed.
    """
    exported = connection.execute(
        """
        select topic_id, partition, next_offset, events, dead_letters
        from runfold.watermarks where kind = 'events'
        """
    ).fetchall()
    reader.refresh()
    rows = reader.row_counts([(topic_id, part, end) for topic_id, part, end, _, _ in exported])
    return any(
        rows.get((topic_id, part), 0) != events + dead_letters
        for topic_id, part, _, events, dead_letters in exported
    )


def note_serving(connection: psycopg.Connection, root: LakePath) -> None:
    """Note which set of states is exported."""
    _write(connection, _SERVING, repr(serving_set(root)))


def note_trimmed(connection: psycopg.Connection, reader: LakeReader, held: Held) -> None:
    """Note what retention has taken from the beginning of a log that was exported.

    What was exported of it stays: rows until somebody removes them, figures for ever.
    """
    covered = held.covered
    for log, ranges in read_watermarks(connection, Kind.EVENTS).items():
        begins = _begin(held, covered, log)
        if begins is None or ranges[0].first >= begins:
            continue
        kept = without(ranges, [OffsetRange(0, begins - 1)])
        since = _trim(connection, reader, log, kept) if kept else _forget(connection, log)
        known = kept_from(connection)
        if since is not None and (known is None or since > known):
            _write(connection, _KEPT_FROM, since.isoformat())
            freeze(connection, since)


def _trim(
    connection: psycopg.Connection, reader: LakeReader, log: LogPartition, kept: list[OffsetRange]
) -> datetime | None:
    """Leave `kept` of what was exported of a log; return since when the lake has rows of it."""
    write_watermarks(connection, Kind.EVENTS, {log: kept})
    reader.refresh()
    since, events, dead_letters = reader.what_is_left(log, kept[-1].next_offset)
    connection.execute(
        """
        update runfold.watermarks set events = %s, dead_letters = %s
        where kind = 'events' and topic_id = %s and partition = %s
        """,
        [events, dead_letters, log.topic_id, log.partition],
    )
    return since


def _forget(connection: psycopg.Connection, log: LogPartition) -> datetime | None:
    """Forget that a log was exported, of which nothing is left; return a time after all of it."""
    row = connection.execute(
        """
        delete from runfold.watermarks where kind = 'events' and topic_id = %s and partition = %s
        returning coalesce(recorded_at, exported_at) + interval '1 microsecond'
        """,
        [log.topic_id, log.partition],
    ).fetchone()
    return None if row is None else row[0]


def kept_from(connection: psycopg.Connection) -> datetime | None:
    """Return since when the lake is whole, None where it always was."""
    text = _read(connection, _KEPT_FROM)
    return None if text is None else datetime.fromisoformat(text)


def _read(connection: psycopg.Connection, name: str) -> str | None:
    row = connection.execute(
        "select value from runfold.export_state where name = %s", [name]
    ).fetchone()
    return None if row is None else str(row[0])


def _write(connection: psycopg.Connection, name: str, value: str) -> None:
    connection.execute(
        """
        insert into runfold.export_state (name, value) values (%s, %s)
        on conflict (name) do update set value = excluded.value
        """,
        [name, value],
    )
