"""What dashboards wait for: every panel's question in PostgreSQL and, of the lake, in DuckDB.

Run it with `python -m tests.benchmarks.dashboards [--events N] [--rounds N]`. The lake is made by
folding made-up frames, PostgreSQL is the embedded one, filled by the export. Each question is asked
as a browser does that looks at all events with All chosen, and at one run of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import track
from rich.table import Table

from runfold.deploy.embedded.postgres import PostgresServer
from runfold.sinks.postgres import open_exporter
from runfold.sinks.query import LakeQueries, open_lake
from tests.benchmarks import report
from tests.benchmarks.audit import FIRST_MS, fill
from tests.dashboards import ALL, Panel, Viewed, all_panels, as_exported, everything, is_of_the_lake

EVER = timedelta(days=100 * 365)
PATIENCE_SECONDS = 20.0
"""No question is asked again once its answers have taken so long together."""
_NAMES = ("project", "agent", "host", "model", "tool")
_CHOSEN = dict.fromkeys(_NAMES, ALL) | {"run": "crawler-3-77"}
_BEGAN = datetime.fromtimestamp(FIRST_MS / 1000, UTC)


def viewed(events: int, panel: Panel) -> Viewed:
    """Return a look at all days that have events."""
    until = _BEGAN + timedelta(milliseconds=events)
    return Viewed(
        _BEGAN - timedelta(days=1), until, _CHOSEN, everything(panel.board), interval="1s"
    )


def laps(ask: Callable[[], object], rounds: int) -> list[float]:
    """Return how many milliseconds each answer took."""
    taken: list[float] = []
    while len(taken) < rounds and sum(taken) < PATIENCE_SECONDS * 1000:
        started = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def p95(taken: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(taken, n=20, method="inclusive")[-1] if len(taken) > 1 else taken[0]


def measure(
    connection: psycopg.Connection, lake: LakeQueries, events: int, rounds: int
) -> dict[Panel, tuple[list[float], list[float]]]:
    """Ask what every panel over our own tables asks."""
    found = {}
    panels = [each for each in all_panels() if is_of_the_lake(each)]
    for panel in track(panels, "asking", transient=True):
        question = viewed(events, panel).ask(panel.sql)
        in_postgres = laps(lambda q=question: connection.execute(q.encode()).fetchall(), rounds)  # type: ignore[misc]
        in_lake = laps(lambda q=question: lake.ask(q).fetchall(), rounds)  # type: ignore[misc]
        found[panel] = (in_postgres, in_lake)
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.dashboards", description=__doc__
    )
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    command = (
        f"python -m tests.benchmarks.dashboards --events {given.events} --rounds {given.rounds}"
    )
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    console = Console()
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as folder:
        root = Path(folder) / "lake"
        fill(root, given.events)
        with PostgresServer(Path(folder) / "postgres", port=0) as server:
            started = time.perf_counter()
            with open_exporter(root, server.url, recent=EVER) as exporter:
                exporter.catch_up()
            console.print(
                f"{given.events:,} events exported in {time.perf_counter() - started:.0f} s"
            )
            with (
                psycopg.connect(server.url, autocommit=True) as connection,
                open_lake(root) as lake,
            ):
                connection.execute("vacuum analyze")
                as_exported(lake, recent=EVER)
                found = measure(connection, lake, given.events, given.rounds)
    _show(console, found)
    console.print()
    report.show_machine(console, machine, {})


def _show(console: Console, found: dict[Panel, tuple[list[float], list[float]]]) -> None:
    table = Table(title="questions, ms", title_justify="left", box=None, pad_edge=False)
    table.add_column("panel", no_wrap=True)
    for name in ("PostgreSQL p50", "p95", "DuckDB p50", "p95"):
        table.add_column(name, justify="right")
    boards: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for panel, each in found.items():
        table.add_row(str(panel), *_figures(each))
        for together, taken in zip(boards[panel.board], each, strict=True):
            together.extend(taken)
    for board, each in boards.items():
        table.add_row(f"{board}, all panels", *_figures(each), style="bold")
    in_postgres = [lap for taken, _ in found.values() for lap in taken]
    in_lake = [lap for _, taken in found.values() for lap in taken]
    table.add_row("all dashboards", *_figures((in_postgres, in_lake)), style="bold")
    console.print(table)


def _figures(each: tuple[list[float], list[float]]) -> list[str]:
    return [f"{figure:,.1f}" for taken in each for figure in (statistics.median(taken), p95(taken))]


if __name__ == "__main__":
    main()
