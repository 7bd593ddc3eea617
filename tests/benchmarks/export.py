"""How fast the lake goes to PostgreSQL, how fresh it is there, and what dashboards wait for.

Run it with `python -m tests.benchmarks.export [--events N] [--rounds N]`. The lake is made by
folding made-up frames, all of one day; PostgreSQL is the embedded one. Each question is asked of
PostgreSQL and, in the lake's words, of DuckDB.

With `--bursts N` it measures instead how fresh PostgreSQL is in a whole stack, which it starts with
a folder and ports of its own; see `freshness`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from runfold.deploy.embedded.postgres import PostgresServer
from runfold.processors.run_table import RunTable
from runfold.schemas.codec.columns import DecodedBatch
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from runfold.sinks.lake import LocalLake
from runfold.sinks.postgres import Exporter, open_exporter
from runfold.sinks.query import open_lake
from tests.benchmarks import report
from tests.benchmarks.audit import FIRST_MS, PARTITIONS, fill, frame
from tests.benchmarks.freshness import bursts, shown

_EVER = timedelta(days=100 * 365)
_MEBIBYTE = 1024 * 1024
_EVENTS_MORE = 1000


@dataclass(frozen=True, slots=True)
class Question:
    """What a panel asks, in the words of each."""

    panel: str
    of_postgres: str
    of_lake: str


QUESTIONS = (
    Question(
        "runs by status",
        "select status, count(*) from runfold.runs group by 1",
        "select status, count(*) from runs group by 1",
    ),
    Question(
        "cost by agent and day",
        "select day, agent_name, sum(cost_usd) from runfold.costs_daily group by 1, 2",
        "select occurred_at::date, agent_name, sum(cost_usd) from events group by 1, 2",
    ),
    Question(
        "calls, failures and p95 of tools",
        "select day, tool_name, calls, failed, duration_ms_p95 from runfold.tools_daily",
        "select occurred_at::date, tool_name, count(*), count(*) filter (status = 'failure'),"
        " quantile_cont(duration_ms, 0.95) from events where event_type = 'tool.ended'"
        " group by 1, 2",
    ),
    Question(
        "events by minute",
        "select date_trunc('minute', occurred_at), count(*) from runfold.event_rows group by 1",
        "select date_trunc('minute', occurred_at), count(*) from events group by 1",
    ),
    Question(
        "20 newest runs",
        "select * from runfold.runs order by started_at desc limit 20",
        "select * from runs order by started_at desc limit 20",
    ),
    Question(
        "the events of one run",
        "select * from runfold.events_recent where run_id = 'crawler-3-77' order by log_offset",
        "select * from events where run_id = 'crawler-3-77' order by \"offset\"",
    ),
)


def more_events(lake: LocalLake) -> Callable[[int], None]:
    """Return what writes one more flush of new runs."""
    table = RunTable(LogPartition("benchmark", PARTITIONS), 0)

    def write(lap: int) -> None:
        first = lap * _EVENTS_MORE
        offsets = list(range(first, first + _EVENTS_MORE))
        nothing: list[bytes | None] = [None] * _EVENTS_MORE
        times = [FIRST_MS] * _EVENTS_MORE
        batch = RecordBatch(table.log, first, offsets, times, nothing, nothing)
        table.take(batch, DecodedBatch(frame(PARTITIONS, first, _EVENTS_MORE), []))
        flush = table.pending()
        if flush is not None:
            lake.write(flush)
            table.flushed(flush)

    return write


def freshness(exporter: Exporter, write: Callable[[int], None], rounds: int) -> list[float]:
    """Return for each flush how many seconds after it PostgreSQL had all that follows from it."""
    seconds = []
    for lap in range(rounds):
        write(lap)
        started = time.perf_counter()
        exporter.catch_up()
        seconds.append(time.perf_counter() - started)
    return seconds


def asked(ask: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the median and the 95th percentile of the milliseconds that an answer takes."""
    laps = []
    for _ in range(rounds):
        started = time.perf_counter()
        ask()
        laps.append((time.perf_counter() - started) * 1000)
    return statistics.median(laps), statistics.quantiles(laps, n=20, method="inclusive")[-1]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.export", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--bursts", type=int, help="Measure freshness in a stack, and only that.")
    parser.add_argument("--runs", type=int, default=100, help="Of a burst, some 59 events each.")
    parser.add_argument("--pause", type=float, default=3.0, help="Seconds between two bursts.")
    given = parser.parse_args()
    if given.bursts:
        _fresh(given.bursts, given.runs, given.pause)
        return
    command = f"python -m tests.benchmarks.export --events {given.events} --rounds {given.rounds}"
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    console = Console()
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as folder:
        root = Path(folder) / "lake"
        fill(root, given.events)
        with PostgresServer(Path(folder) / "postgres", port=0) as server:
            console.print(_export(root, server.url, given.events, given.rounds))
            console.print(_questions(root, server.url, given.rounds))
    console.print()
    report.show_machine(console, machine, {})


def _fresh(number: int, runs: int, pause_seconds: float) -> None:
    given = f"--bursts {number} --runs {runs} --pause {pause_seconds:g}"
    command = f"python -m tests.benchmarks.export {given}"
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    console = Console()
    console.print(shown(asyncio.run(bursts(number, runs, pause_seconds))))
    console.print()
    report.show_machine(console, machine, {})


def _export(root: Path, url: str, events: int, rounds: int) -> Table:
    table = _table("export", "figure")
    with open_exporter(root, url, recent=_EVER) as exporter:
        started = time.perf_counter()
        done = exporter.catch_up()
        seconds = time.perf_counter() - started
        table.add_row("events", f"{events:,}")
        table.add_row("first export", f"{seconds:.1f} s, {done.rows.total():,} rows")
        table.add_row("", f"{events / seconds:,.0f} events/s")
        laps = freshness(exporter, more_events(LocalLake(root)), rounds)
        table.add_row(
            f"{_EVENTS_MORE:,} events more",
            f"{statistics.median(laps):.2f} s, at most {max(laps):.2f} s",
        )
        started = time.perf_counter()
        exporter.rebuild()
        table.add_row("--rebuild", f"{time.perf_counter() - started:.1f} s")
    with psycopg.connect(url) as connection:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
    in_lake = sum(path.stat().st_size for path in root.rglob("*.parquet"))
    table.add_row("PostgreSQL, after that", f"{(row[0] if row else 0) / _MEBIBYTE:,.0f} MiB")
    table.add_row("lake", f"{in_lake / _MEBIBYTE:,.0f} MiB")
    return table


def _questions(root: Path, url: str, rounds: int) -> Table:
    table = _table("question, ms", "PostgreSQL p50", "p95", "DuckDB p50", "p95")
    with psycopg.connect(url, autocommit=True) as connection, open_lake(root) as lake:
        connection.execute("vacuum analyze")
        for each in QUESTIONS:
            figures = (
                *asked(lambda each=each: connection.execute(each.of_postgres).fetchall(), rounds),  # type: ignore[misc]
                *asked(lambda each=each: lake.ask(each.of_lake).fetchall(), rounds),  # type: ignore[misc]
            )
            table.add_row(each.panel, *(f"{figure:,.1f}" for figure in figures))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


if __name__ == "__main__":
    main()
