"""The same fold by a plain Faust agent: its own transport, a table that is set for each event.

python -m tests.benchmarks.contenders.faust_fold BOOTSTRAP TOPIC RECORDS FOLDER
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterable
from pathlib import Path

import faust

from runfold.schemas.topic import EVENTS
from tests.benchmarks.contenders import plain_fold
from tests.benchmarks.contenders.measured import Moment, now, say


def run(bootstrap: str, topic_name: str, records: int, folder: Path) -> None:
    """Fold `records` records, then say when, and what the table adds up to."""
    app = faust.App(
        folder.name,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=str(folder),
        web_enabled=False,
        topic_partitions=EVENTS.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
    )
    topic = app.topic(
        topic_name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=EVENTS.partitions,
    )
    runs = app.Table("runs", default=plain_fold.new_state, partitions=EVENTS.partitions)

    @app.agent(topic)
    async def fold_events(values: AsyncIterable[bytes]) -> None:
        first: Moment | None = None
        folded = 0
        async for value in values:
            first = first or now()
            event = plain_fold.decode(value)
            state = runs[event["run_id"]]
            if plain_fold.fold(state, event):
                runs[event["run_id"]] = state
            folded += 1
            if folded == records:
                done = now()
                states = list(runs.values())
                say(
                    first=first,
                    done=done,
                    records=folded,
                    events=sum(each["events"] for each in states),
                    input_tokens=sum(each["input_tokens"] for each in states),
                )
                os._exit(0)

    worker = faust.Worker(app, loglevel="WARNING", redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
