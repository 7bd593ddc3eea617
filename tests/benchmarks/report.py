"""The figures as one table, and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.footprint import Footprint
from tests.benchmarks.race import Lap

DEFINITION = (
    "Records a second: the records of its topic, divided by the time from its first "
    "fetched record to its last result. For runfold that is Kafka's commit after the last Parquet "
    "file was flushed, of whichever worker was last; for Quix and Faust the last record folded, "
    "without the commit that follows. CPU µs: what its processes computed for a record, all "
    "threads, Kafka not. Ratio: how many times better {yardstick} is. Events and input tokens in "
    "every final state equal what was filled, and so do the offsets that runfold committed."
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were made on, and by which command."""

    command: str
    commit: str
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    python: str = field(default_factory=platform.python_version)
    system: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True, slots=True)
class Speeds:
    """The laps of one contender."""

    name: str
    laps: Sequence[Lap]

    def figures(self) -> dict[str, float]:
        """Return median, least and most records a second, and the median CPU time of a record."""
        speeds = [lap.records_per_second for lap in self.laps]
        return {
            "median": statistics.median(speeds),
            "min": min(speeds),
            "max": max(speeds),
            "cpu_us": statistics.median(lap.cpu_us_a_record for lap in self.laps),
        }


def commit_of(repository: Path) -> str:
    """Return what git calls the code that is measured."""
    asked = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(asked, cwd=repository, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def show_speeds(console: Console, speeds: Sequence[Speeds], yardstick: str) -> None:
    """Print the race; ratios are of medians against `yardstick`."""
    table = Table(title="records a second", title_justify="left", box=None, pad_edge=False)
    table.add_column("contender", no_wrap=True)
    for name in ("records", "median", "min", "max", "ratio", "CPU µs", "ratio"):
        table.add_column(name, justify="right")
    own = next(each for each in speeds if each.name == yardstick).figures()
    for each in speeds:
        found = each.figures()
        numbers = [f"{found[name]:,.0f}" for name in ("median", "min", "max")]
        table.add_row(
            each.name,
            f"{each.laps[0].records:,}",
            *numbers,
            f"{own['median'] / found['median']:.2f}",
            f"{found['cpu_us']:.1f}",
            f"{found['cpu_us'] / own['cpu_us']:.2f}",
        )
    console.print(table)
    console.print(DEFINITION.format(yardstick=yardstick), highlight=False)
    console.print()


def show_footprint(console: Console, found: Footprint) -> None:
    """Print memory and start-up."""
    table = Table(title="memory and start-up", title_justify="left", box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("figure", justify="right")
    idle = found.idle_kafka_mebibytes + found.idle_worker_mebibytes
    table.add_row("idle stack: Kafka + worker, resident", f"{idle:,.0f} MiB")
    table.add_row("  of it Kafka", f"{found.idle_kafka_mebibytes:,.0f} MiB")
    table.add_row("  of it the worker, empty lake", f"{found.idle_worker_mebibytes:,.0f} MiB")
    runs = f"{found.runs:,} runs"
    table.add_row(f"worker that has folded {runs}", f"{found.folded_mebibytes:,.0f} MiB")
    table.add_row(f"worker that has loaded {runs}", f"{found.loaded_mebibytes:,.0f} MiB")
    table.add_row(f"start of a worker over {runs}", f"{found.start_seconds:.2f} s")
    table.add_row("  of it reading the lake", f"{found.load_seconds:.2f} s")
    console.print(table)
    console.print()


def show_machine(console: Console, machine: Machine, notes: Mapping[str, str]) -> None:
    """Print what made the figures."""
    facts = asdict(machine) | {"load": f"{machine.load:.2f} before the start"} | dict(notes)
    for name, value in facts.items():
        console.print(f"{name:>10}  {value}", highlight=False, soft_wrap=True)


def as_json(
    machine: Machine, speeds: Sequence[Speeds], footprint: Footprint | None, yardstick: str
) -> dict[str, Any]:
    """Return all figures."""
    return {
        "machine": asdict(machine),
        "definition": DEFINITION.format(yardstick=yardstick),
        "speeds": {
            each.name: each.figures() | {"seconds": [lap.seconds for lap in each.laps]}
            for each in speeds
        },
        "footprint": None if footprint is None else asdict(footprint),
    }
