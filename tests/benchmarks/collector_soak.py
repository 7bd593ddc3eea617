"""Whether a collector's memory stays flat under load.

Run it with `python -m tests.benchmarks.collector_soak [--minutes N]`, which brings a Kafka of its
own. Single runs, batches and spans are sent all the time; the memory is that of the collector's
processes (RSS), looked at every two seconds after a minute of warming up.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from tests.benchmarks import report
from tests.benchmarks.collector import collector_command, free_port, kinds, serving, tree_of
from tests.benchmarks.http_load import Answers, load

_WARM_UP_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_PARTS = 5


def rss_mib(pid: int) -> float:
    """Return how much memory a process and those below it have now."""
    pages = sum(int((folder / "statm").read_text().split()[1]) for folder in tree_of(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


async def soak(port: int, pid: int, seconds: float) -> tuple[list[Answers], list[float]]:
    """Send all kinds for so long; return what became of them, and the memory meanwhile."""

    async def look() -> list[float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(_WARM_UP_SECONDS)
        seen: list[float] = []
        while loop.time() < end:
            seen.append(rss_mib(pid))
            await asyncio.sleep(_LOOK_SECONDS)
        return seen

    end = asyncio.get_running_loop().time() + seconds
    loads = (load(port, each.request_of, connections=1, seconds=seconds) for each in kinds())
    looking = asyncio.create_task(look())
    answers = await asyncio.gather(*loads)
    return answers, await looking


def main() -> None:
    """Soak and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.collector_soak", description=__doc__
    )
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    command = " ".join(["python -m tests.benchmarks.collector_soak", *sys.argv[1:]])
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    console = Console()
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as name:
        folder, port = Path(name), free_port()
        options = KafkaOptions(client_port=0, controller_port=0)
        with KafkaServer(folder / "kafka", prepare_runtime(), options=options) as server:
            with serving(
                collector_command(port, server.bootstrap, folder), port, folder
            ) as process:
                answers, seen = asyncio.run(soak(port, process.pid, arguments.minutes * 60))
    sent = Table(title="sent", title_justify="left")
    for column in ("request", "answered 2xx", "events", "others"):
        sent.add_column(column)
    for kind, each in zip(kinds(), answers, strict=True):
        others = {status: count for status, count in each.statuses.items() if status // 100 != 2}
        taken = len(each.taken)
        sent.add_row(kind.name, f"{taken:,}", f"{taken * kind.items:,}", str(others or ""))
    memory = Table(title="memory, MiB", title_justify="left")
    for column in ("part of the time", "median", "most"):
        memory.add_column(column)
    for part in range(_PARTS):
        looks = seen[len(seen) * part // _PARTS : len(seen) * (part + 1) // _PARTS]
        memory.add_row(
            f"{part + 1} of {_PARTS}", f"{statistics.median(looks):.0f}", f"{max(looks):.0f}"
        )
    console.print(sent)
    console.print(memory)
    report.show_machine(console, machine, {})


if __name__ == "__main__":
    main()
