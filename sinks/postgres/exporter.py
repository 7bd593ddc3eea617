"""The export of a lake into PostgreSQL, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg

from runfold.sinks.lake_files import Kind
from runfold.sinks.object_path import LakePath
from runfold.sinks.postgres.connecting import connect, postgres_errors
from runfold.sinks.postgres.emptying import empty_tables
from runfold.sinks.postgres.event_rows import export_rows, forget_old_events
from runfold.sinks.postgres.health import LogEnds, is_due, write_health
from runfold.sinks.postgres.held import Held, held_in, new_ranges
from runfold.sinks.postgres.lake_changes import (
    fewer_rows,
    kept_from,
    note_serving,
    note_trimmed,
    why_rebuild,
)
from runfold.sinks.postgres.lake_reader import LakeReader, open_reader
from runfold.sinks.postgres.migrations import LOCK, migrate
from runfold.sinks.postgres.outcome import ExportCounts
from runfold.sinks.postgres.run_rows import export_runs
from runfold.sinks.postgres.stale import (
    FIGURES,
    Figures,
    compute_stale,
    note_stale,
    stale_figures,
)
from runfold.sinks.postgres.watermarks import (
    Exported,
    count_rows,
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
Holding = Mapping[Kind, Held]


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
        log_ends: LogEnds = dict,
        recent: timedelta = RECENT,
        offsets_a_step: int = OFFSETS_A_STEP,
    ) -> None:
        """Shape: `log_ends` tells where the logs end, for the lag."""
        self._root = root
        self._connection = connection
        self._reader = reader
        self._log_ends = log_ends
        self._recent = recent
        self._offsets_a_step = offsets_a_step
        self._freshness: timedelta | None = None
        self._has_counted = False

    def catch_up(self, on_step: OnStep = lambda _: None) -> ExportCounts:
        """Export what is new, and compute the figures that are stale by it.

        Rows go first: what comes while figures are computed is exported between two of them, and
        its figures the next time. Where the lake has lost what was exported, or another set of
        states serves, all is exported again.
        Raises: LakeUnavailable, PostgresUnavailable (retry), PostgresRefused.
        """
        total = ExportCounts()
        with postgres_errors("the export was broken off"):
            reason = self._export_new(total, on_step)
            for figures in stale_figures(self._connection) if reason is None else ():
                with self._transaction():
                    self._compute(figures, total)
                # Rows that came meanwhile do not wait for all figures.
                reason = self._export_new(total, on_step)
                if reason is not None:
                    break
            if reason is not None:
                return self.rebuild(on_step, reason=reason)
            self._look(total)
        return total

    def _export_new(self, total: ExportCounts, on_step: OnStep) -> str | None:
        """Export the rows that are new; return why all is to be exported again, where it is."""
        more = True
        while more:
            with self._transaction():
                held = self._hold()
                reason = self._why_rebuild(held)
                if reason is not None:
                    return reason
                step, more = self._step(held)
            total.add(step)
            on_step(step)
        return None

    def rebuild(
        self, on_step: OnStep = lambda _: None, *, reason: str = "asked for"
    ) -> ExportCounts:
        """Export all of the lake again, in one transaction: readers see the old rows until then.

        What retention has taken from the lake stays as it was exported. Raises: as `catch_up`.
        """
        total = ExportCounts(reason=reason)
        with postgres_errors("the export was broken off"):
            with self._transaction():
                empty_tables(self._connection, kept_from(self._connection))
                self._reader.learn_names()
                note_serving(self._connection, self._root)
                more = True
                while more:
                    step, more = self._step(self._hold())
                    total.add(step)
                    on_step(step)
                for figures in FIGURES:
                    self._compute(figures, total)
            self._look(total)
        return total

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            self._connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
            yield

    def _hold(self) -> Holding:
        """List what the lake holds now."""
        states = states_root(self._root, serving_set(self._root).name)
        return {
            Kind.EVENTS: held_in(self._root, Kind.EVENTS),
            Kind.STATES: held_in(states, Kind.STATES),
        }

    def _why_rebuild(self, held: Holding) -> str | None:
        reason = why_rebuild(self._connection, self._root, held)
        if reason is None:
            note_trimmed(self._connection, self._reader, held[Kind.EVENTS])
            # Counting takes longer than listing: once is enough for what happened before.
            if not self._has_counted and fewer_rows(self._connection, self._reader):
                reason = "the lake has not the rows that were exported"
        self._has_counted = True
        return reason

    def _step(self, held: Holding) -> tuple[ExportCounts, bool]:
        """Export some of what is new; tell whether there is more."""
        counts = ExportCounts(steps=1)
        events = read_watermarks(self._connection, Kind.EVENTS)
        states = read_watermarks(self._connection, Kind.STATES)
        if not events:
            note_serving(self._connection, self._root)
        if held[Kind.EVENTS].covered == events and held[Kind.STATES].covered == states:
            return counts, False
        self._reader.refresh()
        more = self._export_events(held[Kind.EVENTS], events, counts)
        self._export_states(held[Kind.STATES], states, events, counts)
        return counts, more

    def _export_events(self, held: Held, before: Exported, counts: ExportCounts) -> bool:
        new = new_ranges(held.covered, before, self._offsets_a_step)
        if not new:
            return False
        self._reader.read_events(held.pieces(new))
        recent_from = datetime.now(UTC) - self._recent
        export_rows(self._connection, self._reader, recent_from, counts.count)
        note_stale(self._connection, self._reader, "from new_rows where dead_letter_reason is null")
        after = with_more(before, new)
        write_watermarks(self._connection, Kind.EVENTS, after)
        counted = self._reader.counts_of_new_rows()
        count_rows(self._connection, counted)
        counts.records = sum(len(each) for ranges in new.values() for each in ranges)
        counts.exported_recorded_at = max((each.recorded_at for each in counted), default=None)
        return bool(new_ranges(held.covered, before | after))

    def _export_states(
        self, held: Held, exported: Exported, events: Exported, counts: ExportCounts
    ) -> None:
        new = new_ranges(held.covered, exported)
        if new:
            self._reader.read_states(held.pieces(new))
            counts.count("run_rows", export_runs(self._connection, self._reader, events))
            write_watermarks(self._connection, Kind.STATES, with_more(exported, new))

    def _compute(self, figures: Figures, counts: ExportCounts) -> None:
        counts.count(figures.table, compute_stale(self._connection, self._reader, figures))

    def _look(self, done: ExportCounts) -> None:
        """Write how the pipeline is, and forget what is old, where that is due."""
        if done.exported_recorded_at is not None:
            self._freshness = datetime.now(UTC) - done.exported_recorded_at
        with self._transaction():
            if is_due(self._connection):
                forget_old_events(self._connection, datetime.now(UTC) - self._recent)
                held = held_in(self._root, Kind.EVENTS)
                write_health(self._connection, self._root, held, self._log_ends, self._freshness)


@contextmanager
def open_exporter(
    root: LakePath,
    url: str,
    *,
    log_ends: LogEnds = dict,
    recent: timedelta = RECENT,
    offsets_a_step: int = OFFSETS_A_STEP,
) -> Iterator[Exporter]:
    """Connect the lake in `root` with PostgreSQL, and bring its tables up to date.

    Raises: LakeUnavailable, ConfigurationError, PostgresUnavailable (retry), PostgresRefused.
    """
    with open_reader(root) as reader, connect(url) as connection:
        with postgres_errors("the tables cannot be made"):
            migrate(connection)
        yield Exporter(
            root,
            connection,
            reader,
            log_ends=log_ends,
            recent=recent,
            offsets_a_step=offsets_a_step,
        )
