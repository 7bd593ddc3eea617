"""How a worker starts over millions of runs, and what memory it takes when old ones speak again.

Run it with `python -m tests.benchmarks.many_runs [--runs N]`. The lake is made of states files as
compaction leaves them; nothing goes through Kafka. What is measured is a process of its own that
has loaded all that a worker loads.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import structlog
from rich.console import Console
from rich.table import Table

from runfold.processors import worker as all_that_a_worker_loads
from runfold.processors.partitions import FlushPolicy, Partitions
from runfold.processors.run_table import DeadLetter, RunTable
from runfold.schemas.codec.arrow import lake_event_schema, states_to_table
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.lake import FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.record_batch import RecordBatch
from runfold.sinks.durable_files import streamed_file
from runfold.sinks.file_labels import labels
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import Kind, file_name, hour_folder
from runfold.sinks.parquet_writers import STATES_A_GROUP, events_writer, states_writer
from tests.benchmarks import report

PARTITIONS = 12
EVENTS_A_RUN = 20
RUNS_A_FILE = 200_000
SPEAKERS_A_BATCH = 500
BATCHES = 20
TOPIC_ID = "benchmark"
_FIRST_US = 1_763_000_000_000_000
_MEBIBYTE = 1024 * 1024


def run_id_of(partition: int, number: int) -> str:
    """Return the id of one run; ids come in the order of their numbers."""
    return f"crawler-{partition:02d}-{number:012d}"


def fill(root: Path, runs: int) -> None:
    """Make a lake of so many runs, all of which have ended."""
    LocalLake(root)
    template = _states_of_some_runs()
    for partition in range(PARTITIONS):
        share = runs // PARTITIONS
        for first in range(0, share, RUNS_A_FILE):
            last = min(first + RUNS_A_FILE, share) - 1
            _write_states(root, partition, first, last, template)
        offsets = OffsetRange(0, share * EVENTS_A_RUN - 1)
        log = LogPartition(TOPIC_ID, partition)
        folder = root / TOPIC_ID / Kind.EVENTS / hour_folder(_FIRST_US)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            streamed_file(folder / file_name(partition, offsets)) as stream,
            events_writer(stream) as writer,
        ):
            said = labels(Kind.EVENTS, log, offsets, FlushCounts(lost=len(offsets)))
            writer.add_key_value_metadata(said)
            writer.write_table(lake_event_schema().empty_table())


def _states_of_some_runs() -> pa.Table:
    """Return the states of a group of runs as the fold makes them."""
    table = RunTable(LogPartition(TOPIC_ID, 0), 0)
    at_once = 1000
    for first in range(0, STATES_A_GROUP, at_once):
        numbers = range(first, first + at_once)
        table.take(_batch(0, first * EVENTS_A_RUN, numbers, range(1, EVENTS_A_RUN + 1)))
    flush = table.pending()
    assert flush is not None
    return states_to_table(flush.states)


def _write_states(root: Path, partition: int, first: int, last: int, some: pa.Table) -> None:
    """Write the states of runs `first` to `last`: those of `some` again and again, under ids."""
    offsets = OffsetRange(first * EVENTS_A_RUN, (last + 1) * EVENTS_A_RUN - 1)
    log = LogPartition(TOPIC_ID, partition)
    folder = root / TOPIC_ID / Kind.STATES
    folder.mkdir(parents=True, exist_ok=True)
    with (
        streamed_file(folder / file_name(partition, offsets)) as stream,
        states_writer(stream) as writer,
    ):
        for start in range(first, last + 1, STATES_A_GROUP):
            count = min(STATES_A_GROUP, last + 1 - start)
            numbers = range(start, start + count)
            columns = {
                "run_id": [run_id_of(partition, number) for number in numbers],
                "first_offset": [number * EVENTS_A_RUN for number in numbers],
                "last_offset": [(number + 1) * EVENTS_A_RUN - 1 for number in numbers],
            }
            group = some.slice(0, count)
            for name, values in columns.items():
                at = group.schema.get_field_index(name)
                field = group.schema.field(at)
                group = group.set_column(at, field, pa.array(values, field.type))
            writer.write_table(group)
        writer.add_key_value_metadata(labels(Kind.STATES, log, offsets, FlushCounts()))


_ENCODE = SparseEncoder(latest("event"))


def _batch(
    partition: int, position: int, numbers: Sequence[int], sequences: Sequence[int]
) -> RecordBatch:
    """Return records in which each of some runs says so many things."""
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    for number in numbers:
        run_id = run_id_of(partition, number)
        for sequence in sequences:
            keys.append(run_id.encode())
            event = {
                "event_id": f"rf{partition:06x}{number:014x}.1-{sequence}",
                "run_id": run_id,
                "event_type": _kind(sequence),
                "occurred_at": _FIRST_US + sequence,
                "agent_name": "crawler",
                "tool_name": "fetch",
                "input_tokens": 1200,
                "cost_usd": 0.01,
            }
            values.append(_ENCODE(event))
    times = [_FIRST_US // 1000 + (position + i) // 10 for i in range(len(keys))]
    offsets = list(range(position, position + len(keys)))
    return RecordBatch(LogPartition(TOPIC_ID, partition), position, offsets, times, keys, values)


def _kind(sequence: int) -> str:
    if sequence == 1:
        return "run.started"
    return "run.ended" if sequence == EVENTS_A_RUN else "tool.ended"


class _NoLetters:
    async def send(self, letters: Sequence[DeadLetter]) -> None:
        raise AssertionError(letters)


async def _unchanged() -> None:
    """Take the topic for what it was."""


async def _never_back(partition: int, offset: int) -> None:
    raise AssertionError((partition, offset))


async def _work(root: Path, runs: int) -> dict[str, float]:
    """Take all partitions over, let old runs speak, and say what it took."""
    assert all_that_a_worker_loads is not None
    process = psutil.Process()
    before = process.memory_info().rss
    owner = Partitions(
        "events", TOPIC_ID, lake=LocalLake(root), dead_letters=_NoLetters(),
        policy=FlushPolicy(), check_log=_unchanged,
    )  # fmt: skip
    share = runs // PARTITIONS
    end = share * EVENTS_A_RUN
    started = time.monotonic()
    await owner.resume(set(range(PARTITIONS)), dict.fromkeys(range(PARTITIONS), (0, end)))
    resumed = time.monotonic() - started
    at_start = process.memory_info().rss
    most, spoke = at_start, 0.0
    for number in range(BATCHES):
        partition = number % PARTITIONS
        position = owner.positions()[partition]
        step = max(1, share // SPEAKERS_A_BATCH)
        speakers = range(number, share, step)
        batch = _batch(partition, position, speakers, [EVENTS_A_RUN + 1 + number])
        started = time.monotonic()
        await owner.take(owner.prepare(batch), _never_back)
        spoke += time.monotonic() - started
        await owner.flush_all()
        most = max(most, process.memory_info().rss)
    return {
        "before_mebibytes": before / _MEBIBYTE,
        "start_mebibytes": at_start / _MEBIBYTE,
        "most_mebibytes": most / _MEBIBYTE,
        "start_seconds": resumed,
        "batch_seconds": spoke / BATCHES,
        "runs_known": float(owner.progress().runs_past),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many_runs")
    parser.add_argument("--runs", type=int, default=5_000_000)
    parser.add_argument("--lake", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.lake is not None:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        figures = asyncio.run(_work(given.lake, given.runs))
        sys.stdout.buffer.write(orjson.dumps(figures))
        return
    command = f"python -m tests.benchmarks.many_runs --runs {given.runs}"
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as folder:
        lake = Path(folder) / "lake"
        fill(lake, given.runs)
        child = [sys.executable, "-m", __spec__.name, "--runs", str(given.runs)]
        done = subprocess.run([*child, "--lake", str(lake)], stdout=subprocess.PIPE, check=True)
        stored_bytes = sum(path.stat().st_size for path in lake.rglob("*.parquet"))
    _show(orjson.loads(done.stdout), stored_bytes, machine)


def _show(figures: dict[str, float], stored_bytes: int, machine: report.Machine) -> None:
    table = Table(title="many runs", title_justify="left", box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("figure", justify="right")
    table.add_row("runs in the lake", f"{figures['runs_known']:,.0f}")
    table.add_row("states files", f"{stored_bytes / _MEBIBYTE:,.0f} MiB")
    table.add_row("taking all partitions over", f"{figures['start_seconds']:.1f} s")
    table.add_row("memory before", f"{figures['before_mebibytes']:,.0f} MiB")
    table.add_row("memory then", f"{figures['start_mebibytes']:,.0f} MiB")
    table.add_row("memory at most, old runs speaking", f"{figures['most_mebibytes']:,.0f} MiB")
    table.add_row(
        f"a batch in which {SPEAKERS_A_BATCH} old runs speak", f"{figures['batch_seconds']:.2f} s"
    )
    console = Console()
    console.print(table)
    console.print()
    report.show_machine(console, machine, {})


if __name__ == "__main__":
    main()
