"""What a worker says that cannot start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# The worker changes its process: an event loop, the garbage collector.
_PROGRAM = """
import sys
from pathlib import Path
from runfold.processors import worker
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.lake import LogDescription
from runfold.sinks.lake import LocalLake

async def look(watch):
    return LogDescription("a-topic", "events", 3)

worker.TopicWatch.look = look  # the broker answers once
try:
    worker.run_worker(worker.WorkerSettings("127.0.0.1:1"), LocalLake(Path(sys.argv[1])))
except BrokerUnavailable as error:
    print(error)
"""


def test_a_broker_that_dies_as_the_worker_starts_is_unavailable(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Kafka failed the worker: KafkaConnectionError" in done.stdout
