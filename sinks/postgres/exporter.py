"""The export of a lake into PostgreSQL, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg

from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.lake_files import Kind
from runfold.sinks.object_path import LakePath
from runfold.sinks.postgres.connecting import connect, postgres_errors
from runfold.sinks.postgres.event_rows import export_rows, forget_old_events
from runfold.sinks.postgres.held import Held, held_in, new_ranges
from runfold.sinks.postgres.lake_reader import LakeReader, open_reader
from runfold.sinks.postgres.migrations import LOCK, migrate
from runfold.sinks.postgres.outcome import ExportCounts
from runfold.sinks.postgres.run_rows import export_runs
from runfold.sinks.postgres.stale import compute_stale, note_stale
from runfold.sinks.postgres.watermarks import (
    is_lost,
    read_watermarks,
    with_more,
    write_watermarks,
)
from runfold.sinks.state_sets import serving_set, states_root

RECENT = timedelta(days=7)
"""How far back `events_recent` reaches, by the time at which the log took an event."""
OFFSETS_A_STEP = 250_000

OnStep = Callable[[ExportCounts], None]
"""Called after each step with what it did."""

_EMPTIED = (
    *("run_rows", "event_rows", "error_rows", "transcript_rows", "dead_letters"),
    *("metrics_hourly", "tools_daily", "costs_daily"),
    *("stale_buckets", "watermarks", "export_state"),
)


class Exporter:
    """Takes what is new in a lake over into PostgreSQL. Not thread-safe.

    Delivery: a step writes rows and watermarks in one transaction, so it is done or not done;
    whoever comes next goes on there. Of several exporters one writes at a time. A reader sees
    whole steps.
    """

    def __init__(
        self,
        root: LakePath,
        connection: psycopg.Connection,
        reader: LakeReader,
        *,
        recent: timedelta = RECENT,
        offsets_a_step: int = OFFSETS_A_STEP,
    ) -> None:
        self._root = root
        self._connection = connection
        self._reader = reader
        self._recent = recent
        self._offsets_a_step = offsets_a_step

    def catch_up(self, on_step: OnStep = lambda _: None) -> ExportCounts:
        """Export what is new, and compute the figures that are stale by it.

        Where the lake has lost what was exported, or another set of states serves, all is exported
        again. Raises: LakeUnavailable, PostgresUnavailable (retry), PostgresRefused.
        """
        total = ExportCounts()
        with postgres_errors("the export was broken off"):
            while True:
                with self._transaction():
                    reason = self._why_rebuild()
                    if reason is None:
                        step, more = self._step()
                if reason is not None:
                    total.add(self.rebuild(on_step, reason=reason))
                    return total
                total.add(step)
                on_step(step)
                if not more:
                    break
            with self._transaction():
                step = self._figures()
            total.add(step)
            if step.changed:
                on_step(step)
        return total

    def rebuild(
        self, on_step: OnStep = lambda _: None, *, reason: str = "asked for"
    ) -> ExportCounts:
        """Export all of the lake again, in one transaction: readers see the old rows until then.

        Raises: as `catch_up`.
        """
        total = ExportCounts(reason=reason)
        with postgres_errors("the export was broken off"), self._transaction():
            for table in _EMPTIED:
                self._connection.execute(f"delete from runfold.{table}".encode())
            self._reader.learn_names()
            self._note_serving()
            more = True
            while more:
                step, more = self._step()
                total.add(step)
                on_step(step)
            step = self._figures()
            total.add(step)
            on_step(step)
        return total

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            self._connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
            yield

    def _why_rebuild(self) -> str | None:
        row = self._connection.execute(
            "select value from runfold.export_state where name = 'states'"
        ).fetchone()
        serving = repr(serving_set(self._root))
        if row is None:
            self._note_serving()
        elif row[0] != serving:
            return "another set of states serves"
        for kind in Kind:
            exported = read_watermarks(self._connection, kind)
            if is_lost(exported, self._held(kind).covered):
                return f"the lake has lost {kind} that were exported"
        return None

    def _note_serving(self) -> None:
        self._connection.execute(
            """
            insert into runfold.export_state (name, value) values ('states', %s)
            on conflict (name) do update set value = excluded.value
            """,
            [repr(serving_set(self._root))],
        )

    def _held(self, kind: Kind) -> Held:
        root = self._root
        if kind is Kind.STATES:
            root = states_root(root, serving_set(root).name)
        return held_in(root, kind)

    def _step(self) -> tuple[ExportCounts, bool]:
        """Export some of what is new; tell whether there is more."""
        counts = ExportCounts(steps=1)
        before = read_watermarks(self._connection, Kind.EVENTS)
        more = self._export_events(before, counts)
        self._export_states(before, counts)
        return counts, more

    def _export_events(
        self, before: dict[LogPartition, list[OffsetRange]], counts: ExportCounts
    ) -> bool:
        held = self._held(Kind.EVENTS)
        new = new_ranges(held.covered, before, self._offsets_a_step)
        recent_from = datetime.now(UTC) - self._recent
        forget_old_events(self._connection, recent_from)
        if not new:
            return False
        self._reader.read_events(held.pieces(new))
        export_rows(self._connection, self._reader, recent_from, _counting(counts))
        note_stale(self._connection, self._reader, "from new_rows where dead_letter_reason is null")
        write_watermarks(self._connection, Kind.EVENTS, with_more(before, new))
        counts.records = sum(len(each) for ranges in new.values() for each in ranges)
        [(counts.exported_recorded_at,)] = self._reader.rows(
            "select max(recorded_at) from new_rows"
        )
        return bool(new_ranges(held.covered, before | with_more(before, new)))

    def _export_states(
        self, before: dict[LogPartition, list[OffsetRange]], counts: ExportCounts
    ) -> None:
        exported = read_watermarks(self._connection, Kind.STATES)
        held = self._held(Kind.STATES)
        new = new_ranges(held.covered, exported)
        if not new:
            return
        self._reader.read_states(held.pieces(new))
        _counting(counts)("run_rows", export_runs(self._connection, self._reader, before))
        write_watermarks(self._connection, Kind.STATES, with_more(exported, new))

    def _figures(self) -> ExportCounts:
        counts = ExportCounts()
        compute_stale(self._connection, self._reader, _counting(counts))
        return counts


def _counting(counts: ExportCounts) -> Callable[[str, int], None]:
    def count(table: str, rows: int) -> None:
        if rows:
            counts.rows[table] += rows

    return count


@contextmanager
def open_exporter(root: LakePath, url: str, **options: object) -> Iterator[Exporter]:
    """Connect the lake in `root` with PostgreSQL, and bring its tables up to date.

    Raises: LakeUnavailable, ConfigurationError, PostgresUnavailable (retry), PostgresRefused.
    """
    with open_reader(root) as reader, connect(url) as connection:
        with postgres_errors("the tables cannot be made"):
            migrate(connection)
        yield Exporter(root, connection, reader, **options)  # type: ignore[arg-type]
