"""How long `runfold backup` and `runfold restore` take.

Run it with `python -m tests.benchmarks.backup [--events N]`. The lake is made by folding made-up
frames; nothing goes through Kafka. What is measured are the commands, as processes of their own,
to another folder of the same disk.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from tests.benchmarks import report
from tests.benchmarks.audit import fill

_MEGABYTE = 1_000_000


def timed(*words: str) -> tuple[float, dict[str, Any]]:
    """Run a command; return its seconds and what it said."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", *words, "--format", "json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return time.monotonic() - started, orjson.loads(done.stdout)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.backup", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    given = parser.parse_args()
    command = f"python -m tests.benchmarks.backup --events {given.events}"
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as folder:
        lake, place, other = (str(Path(folder) / name) for name in ("lake", "backups", "other"))
        fill(Path(lake), given.events)
        options = ("--lake-only", "--data-dir", folder)
        first, said = timed("backup", place, "--lake", lake, *options)
        laps = {
            "backup, the first": first,
            "backup, nothing new": timed("backup", place, "--lake", lake, *options)[0],
            "backup --verify, of both": timed("backup", place, "--verify")[0],
            "restore": timed("restore", place, "--lake", other, *options)[0],
        }
    table = Table(title="backup", title_justify="left", box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("figure", justify="right")
    table.add_row("events", f"{given.events:,}")
    table.add_row("files", f"{said['files']:,}, {said['size_bytes'] / _MEGABYTE:,.1f} MB")
    for name, seconds in laps.items():
        table.add_row(name, f"{seconds:.1f} s")
    console = Console()
    console.print(table)
    console.print()
    report.show_machine(console, machine, {})


if __name__ == "__main__":
    main()
