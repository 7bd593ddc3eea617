"""The real collector as a process, over a topic of its own, for tests of what it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.event import Event
from tests.integration.stack_parts import wait_until


class CollectorProcess:
    """One `runfold collector`, at a free port; killed when the test leaves its `with` block.

    Shape: `folder` is its data directory, `environment` what it is told besides. `url` is where it
    listens.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        folder: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "collector.log"
        self.topic = topic
        self._bootstrap = bootstrap
        self._status = folder / "collector.json"
        command = [
            sys.executable, "-m", "runfold.deploy", "collector", "--broker", bootstrap,
            "--data-dir", str(folder), "--status-file", str(self._status),
            "--listen", "127.0.0.1:0", *options,
        ]  # fmt: skip
        told = {**os.environ, "RUNFOLD_TOPIC": topic, **(environment or {})}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=told)

    def __enter__(self) -> CollectorProcess:
        wait_until(lambda: self._status.exists() or self._ended(), "it listens", workers=[self])
        assert not self._ended(), self.said()
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{json.loads(self._status.read_text())['addresses'][0]}"

    def said(self) -> str:
        """Return what it logged."""
        return self.log.read_text("utf-8", "replace")

    async def events(self) -> list[Event]:
        """Return what is in the log, each event of a run once, as the fold takes them."""
        runs: dict[str, dict[str, Event]] = defaultdict(dict)
        for event in await events_of(self._bootstrap, self.topic):
            runs[event.run_id].setdefault(event.event_id, event)
        return [event for run in runs.values() for event in run.values()]

    def _ended(self) -> bool:
        return self.process.poll() is not None


async def events_of(bootstrap: str, topic: str) -> list[Event]:
    """Return all events of a topic, repeated ones too, those of a partition in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic) or ()
        ]
        consumer.assign(partitions)
        found: list[Event] = []
        for partition, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(partition) < end:
                records: dict[Any, list[Any]] = await consumer.getmany(partition, timeout_ms=500)
                for record in records.get(partition, []):
                    found.append(decode_event(record.value))
        return found
    finally:
        await consumer.stop()
