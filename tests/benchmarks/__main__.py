"""`make bench`: measure runfold beside what it is compared with, and print the figures.

python -m tests.benchmarks [--events N] [--rounds N] [--only NAME …] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import orjson
from rich.console import Console

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from runfold.schemas.topic import EVENTS
from tests.benchmarks import footprint as footprints
from tests.benchmarks import report
from tests.benchmarks.fleet import EVENTS_A_RUN, RUNS_AT_ONCE, FilledTopic, fill
from tests.benchmarks.race import (
    QUIX_PYTHON,
    REPOSITORY,
    Arena,
    Contender,
    Lap,
    plain_faust,
    quix,
    raw_fetch,
    runfold_workers,
)

CONTENDERS: dict[str, Contender] = {
    "raw aiokafka fetch": raw_fetch,
    "runfold, 1 worker": runfold_workers(1),
    "runfold, 2 workers": runfold_workers(2),
    "Quix Streams": quix,
    "plain Faust": plain_faust,
}
YARDSTICK = "runfold, 1 worker"
OTHER_PARTS = ("footprint", "client call", "audit", "recovery", "many runs")
CLIENT_CALL = "tests.benchmarks.client_call"
AUDIT = "tests.benchmarks.audit"
RECOVERY = "tests.benchmarks.recovery"
MANY_RUNS = "tests.benchmarks.many_runs"

# Workers that start together are to begin with a half each, not with a rebalance in between.
_TOGETHER_MS = 1500


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=306_000, help="records in the topic")
    parser.add_argument(
        "--faust-events", type=int, default=40_000, help="records in the topic of plain Faust"
    )
    parser.add_argument("--runs", type=int, default=100_000, help="runs that a worker holds")
    parser.add_argument(
        "--audit-events", type=int, default=10_000_000, help="events in the lake that is audited"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--flush-interval",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="of runfold's workers: an end is only seen at a flush, so it is shorter than 2 s",
    )
    parser.add_argument(
        "--only", action="append", choices=[*CONTENDERS, *OTHER_PARTS], help="may be repeated"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def _race(
    chosen: list[str], arena: Arena, topics: dict[str, FilledTopic], rounds: int
) -> list[report.Speeds]:
    laps: dict[str, list[Lap]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for name in chosen:
            lap = CONTENDERS[name](arena, topics[name])
            laps[name].append(lap)
            _tell(f"round {number}: {name}: {lap.records_per_second:,.0f} records/s")
    return [report.Speeds(name, laps[name]) for name in chosen]


def _speeds(options: argparse.Namespace, wanted: list[str], folder: Path) -> list[report.Speeds]:
    chosen = [name for name in CONTENDERS if name in wanted]
    if not chosen:
        return []
    if YARDSTICK not in chosen:
        chosen.insert(0, YARDSTICK)
    properties = {"group.initial.rebalance.delay.ms": str(_TOGETHER_MS)}
    kafka_options = KafkaOptions(client_port=0, controller_port=0, properties=properties)
    with KafkaServer(folder / "kafka", prepare_runtime(), options=kafka_options) as kafka:
        events = asyncio.run(fill(kafka.bootstrap, EVENTS.name, options.events))
        few = asyncio.run(fill(kafka.bootstrap, "bench.few", options.faust_events))
        _tell(
            f"filled {events.records:,} records of {events.value_bytes:.0f} bytes on average, "
            f"about {EVENTS_A_RUN} a run, {RUNS_AT_ONCE} runs at once, "
            f"{events.records - events.totals.events:,} of them sent twice"
        )
        topics = dict.fromkeys(CONTENDERS, events) | {"plain Faust": few}
        arena = Arena(kafka.bootstrap, folder, options.flush_interval)
        return _race(chosen, arena, topics, options.rounds)


def _run_apart(module: str, *arguments: object) -> None:
    """Let another benchmark print its own table, with a broker of its own where it needs one."""
    _tell(f"{module} {shlex.join(map(str, arguments))}")
    command = [sys.executable, "-m", module, *map(str, arguments)]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def _tell(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")


def main() -> None:
    """Run what was asked for and print the figures."""
    options = _arguments()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new topic has no leader at first
    wanted = options.only or [*CONTENDERS, *OTHER_PARTS]
    if "Quix Streams" in wanted and not QUIX_PYTHON.exists():
        sys.exit(f"{QUIX_PYTHON} is not there: `make bench` fills it")
    command = shlex.join(["python", "-m", "tests.benchmarks", *sys.argv[1:]])
    machine = report.Machine(command, report.commit_of(REPOSITORY))
    console = Console(soft_wrap=False)
    found = None
    with tempfile.TemporaryDirectory(prefix="runfold-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        speeds = _speeds(options, wanted, folder)
        if "footprint" in wanted:
            _tell(f"folding and loading {options.runs:,} runs")
            found = footprints.measure(folder, prepare_runtime(), options.runs)
        if options.json is not None:
            figures = report.as_json(machine, speeds, found, YARDSTICK)
            options.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
        if speeds:
            report.show_speeds(console, speeds, YARDSTICK)
        if found is not None:
            report.show_footprint(console, found)
        if "client call" in wanted:
            _run_apart(CLIENT_CALL)
            console.print()
        if "audit" in wanted:
            _run_apart(AUDIT, "--events", options.audit_events, "--rounds", options.rounds)
            console.print()
        if "recovery" in wanted:
            _run_apart(RECOVERY, "--events", options.events)
            console.print()
        if "many runs" in wanted:
            _run_apart(MANY_RUNS)
            console.print()
    flush = f"every {options.flush_interval:g} s in the race, every 2 s elsewhere"
    report.show_machine(console, machine, {"flush": flush, "rounds": str(options.rounds)})


if __name__ == "__main__":
    main()
