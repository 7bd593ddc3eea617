"""A worker of runfold as `runfold worker` runs it, which says how far it is after each commit.

python -m tests.benchmarks.contenders.runfold_worker BOOTSTRAP TOPIC GROUP LAKE FLUSH_SECONDS
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from runfold.deploy.log_output import configure_logging
from runfold.processors.partitions import FlushPolicy, Partitions, Progress
from runfold.processors.worker import WorkerSettings, run_worker
from runfold.sinks.lake import LocalLake
from tests.benchmarks.contenders.measured import note_first_fetch, now, say


def _say_when_resumed() -> None:
    resume = Partitions.resume

    async def noted(
        self: Partitions, partitions: set[int], bounds: Mapping[int, tuple[int, int]]
    ) -> dict[int, int]:
        began = now()
        positions = await resume(self, partitions, bounds)
        say(resumed=now().at, began=began.at, runs=self.progress().runs_past)
        return positions

    Partitions.resume = noted  # type: ignore[method-assign]


def work(bootstrap: str, topic: str, group: str, lake: Path, flush_seconds: float) -> None:
    """Run until SIGTERM."""
    first = note_first_fetch(topic)
    _say_when_resumed()

    def tell(progress: Progress) -> None:
        say(
            now=now(),
            first=first[0] if first else None,
            durable=progress.durable_offsets,
            runs=progress.runs_held,
        )

    policy = FlushPolicy(interval=timedelta(seconds=flush_seconds))
    settings = WorkerSettings(bootstrap, group=group, topic=topic, flush=policy)
    run_worker(settings, LocalLake(lake), on_progress=tell)


if __name__ == "__main__":
    configure_logging()
    work(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), float(sys.argv[5]))
