"""How long `runfold audit` takes over many events, and how much memory.

Run it with `python -m tests.benchmarks.audit [--events N]`. The lake is made by folding made-up
frames; nothing goes through Kafka. What is measured is the command, as a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson
import polars as pl
from rich.console import Console
from rich.table import Table

from runfold.processors.run_table import RunTable
from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.codec.columns import ROW, DecodedBatch
from runfold.schemas.event import EVENT_FIELDS
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from runfold.sinks.lake import LocalLake
from tests.benchmarks import report

EVENTS_A_RUN = 20
RUNS_AT_ONCE = 200
PARTITIONS = 12
EVENTS_A_FILE = 50_000
FIRST_MS = 1_763_000_000_000
_MEBIBYTE = 1024 * 1024
_NOBODY = "127.0.0.1:1"


def fill(root: Path, events: int) -> None:
    """Make a lake of so many events."""
    lake = LocalLake(root)
    for partition in range(PARTITIONS):
        log = LogPartition("benchmark", partition)
        table = RunTable(log, 0)
        share = events // PARTITIONS + (partition < events % PARTITIONS)
        for first in range(0, share, EVENTS_A_FILE):
            count = min(EVENTS_A_FILE, share - first)
            offsets = list(range(first, first + count))
            times = [FIRST_MS + offset // 10 for offset in offsets]
            nothing: list[bytes | None] = [None] * count
            batch = RecordBatch(log, first, offsets, times, nothing, nothing)
            table.take(batch, DecodedBatch(frame(partition, first, count), []))
            flush = table.pending()
            if flush is not None:
                lake.write(flush)
                table.flushed(flush)


def frame(partition: int, first: int, count: int) -> pl.DataFrame:
    """Return events as a decoder gives them: so many runs at once, their events in turn."""
    number = pl.int_range(first, first + count, eager=True).to_frame("number")
    a_round = RUNS_AT_ONCE * EVENTS_A_RUN
    run = pl.col("number") // a_round * RUNS_AT_ONCE + pl.col("number") % RUNS_AT_ONCE
    sequence = pl.col("number") // RUNS_AT_ONCE % EVENTS_A_RUN + 1
    told = number.with_columns(run.alias("run"), sequence.alias("sequence")).with_columns(
        pl.format("rf{}{}.1", pl.lit(f"{partition:06x}"), _digits("run", 14)).alias("producer"),
        _kind(pl.col("sequence")).alias("event_type"),
    )
    called = pl.col("event_type") == "llm.called"
    has_tool = pl.col("event_type").str.starts_with("tool.")
    given = {
        "event_id": pl.format("{}-{}", "producer", "sequence"),
        "run_id": pl.format("crawler-{}-{}", pl.lit(partition), "run"),
        "event_type": pl.col("event_type"),
        "occurred_at": (FIRST_MS * 1000 + pl.col("number") * 100).cast(pl.Datetime("us", "UTC")),
        "agent_name": pl.lit("crawler"),
        "tool_name": pl.when(has_tool).then(pl.lit("fetch")),
        "status": pl.when(pl.col("event_type").str.ends_with(".ended")).then(pl.lit("success")),
        "model": pl.when(called).then(pl.lit("claude-sonnet-4-5")),
        "input_tokens": pl.when(called).then(1000 + pl.col("number") % 997),
        "output_tokens": pl.when(called).then(pl.col("number") % 311),
        "cost_usd": pl.when(called).then((pl.col("number") % 1009) / 70_000),
        "duration_ms": pl.when(has_tool | called).then((pl.col("number") % 2003) / 7),
    }
    types = pl.DataFrame(lake_event_schema().empty_table()).schema
    return told.select(
        *(given.get(name, pl.lit(None)).cast(types[name]).alias(name) for name in EVENT_FIELDS),
        pl.int_range(pl.len(), dtype=pl.UInt32).alias(ROW),
    )


def _digits(name: str, width: int) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.zfill(width)


def _kind(sequence: pl.Expr) -> pl.Expr:
    kinds = {0: "tool.started", 1: "tool.ended", 2: "llm.called", 3: "log.written"}
    usual = (sequence % len(kinds)).replace_strict(kinds, return_dtype=pl.String)
    last = pl.when(sequence == EVENTS_A_RUN).then(pl.lit("run.ended")).otherwise(usual)
    return pl.when(sequence == 1).then(pl.lit("run.started")).otherwise(last)


def measure(root: Path) -> tuple[float, float, dict[str, int]]:
    """Audit the lake; return seconds, MiB at most, and what was checked."""
    command = [sys.executable, "-m", "runfold.deploy", "audit", "--format", "json"]
    command += ["--lake", str(root), "--data-dir", str(root.parent), "--broker", _NOBODY]
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        child = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = orjson.loads(output.read())
    if child.returncode or not said["ok"]:
        raise SystemExit(f"the audit found {said['findings'][:3]}")
    return seconds, usage.ru_maxrss * 1024 / _MEBIBYTE, said["checked"]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.audit", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    command = f"python -m tests.benchmarks.audit --events {given.events} --rounds {given.rounds}"
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as folder:
        lake = Path(folder) / "lake"
        fill(lake, given.events)
        laps = [measure(lake) for _ in range(given.rounds)]
        stored_bytes = sum(path.stat().st_size for path in lake.rglob("*.parquet"))
    _show(laps, stored_bytes, machine)


def _show(
    laps: list[tuple[float, float, dict[str, int]]], stored_bytes: int, machine: report.Machine
) -> None:
    checked = laps[0][2]
    table = Table(title="audit", title_justify="left", box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("figure", justify="right")
    table.add_row("events", f"{checked['events']:,}")
    table.add_row("runs", f"{checked['runs']:,}")
    table.add_row("files", f"{checked['files']:,}, {stored_bytes / _MEBIBYTE:,.0f} MiB")
    for seconds, mebibytes, _ in laps:
        table.add_row("runfold audit", f"{seconds:.1f} s, {mebibytes:,.0f} MiB at most")
    console = Console()
    console.print(table)
    console.print()
    report.show_machine(console, machine, {})


if __name__ == "__main__":
    main()
