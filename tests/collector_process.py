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

from aiokafka import AIOKafkaConsumer

from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.event import Event
from tests.ending_with_us import ending_with_us
from tests.integration.stack_parts import WAIT_SECONDS, wait_until


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
        self._command = [
            sys.executable, "-m", "runfold.deploy", "collector", "--broker", bootstrap,
            "--data-dir", str(folder), "--status-file", str(self._status),
            "--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0",
            "--grpc-listen", "127.0.0.1:0", *options,
        ]  # fmt: skip
        self._told = {**os.environ, "RUNFOLD_TOPIC": topic, **(environment or {})}
        self.log.write_bytes(b"")
        self.process = self._start()

    def __enter__(self) -> CollectorProcess:
        self._wait()
        return self

    def __exit__(self, *raised: object) -> None:
        self.kill()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = str(json.loads(self._status.read_text())["addresses"][0]).rpartition(":")
        return host, int(port)

    @property
    def url(self) -> str:
        """Where it listens, for a client."""
        host, port = self.address
        return f"http://{host}:{port}"

    @property
    def grpc(self) -> str:
        """Where it takes OTLP over gRPC."""
        return str(json.loads(self._status.read_text())["grpc"])

    @property
    def health_url(self) -> str:
        """Where it answers health checks."""
        return f"http://{json.loads(self._status.read_text())['health']}"

    def start_again(self, *options: str) -> None:
        """Start one that has ended once more, with more options, and return when it listens."""
        assert self._ended()
        self._command += options
        self._status.unlink(missing_ok=True)
        self.process = self._start()
        self._wait()

    def stop(self) -> int:
        """End it as an operator would; return its exit code."""
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """Return what it logged."""
        return self.log.read_text("utf-8", "replace")

    async def events(self) -> list[Event]:
        """Return what is in the log, each event of a run once, as the fold takes them."""
        runs: dict[str, dict[str, Event]] = defaultdict(dict)
        for event in await events_of(self._bootstrap, self.topic):
            runs[event.run_id].setdefault(event.event_id, event)
        return [event for run in runs.values() for event in run.values()]

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            command = ending_with_us(self._command)
            return subprocess.Popen(command, stdout=output, stderr=output, env=self._told)

    def _wait(self) -> None:
        wait_until(lambda: self._status.exists() or self._ended(), "it listens", workers=[self])
        assert not self._ended(), self.said()

    def _ended(self) -> bool:
        return self.process.poll() is not None


async def events_of(bootstrap: str, topic: str) -> list[Event]:
    """Return all events of a topic, repeated ones too, those of a partition in order."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    try:
        found: list[Event] = []
        for partition, end in (await consumer.end_offsets(consumer.assignment())).items():
            while await consumer.position(partition) < end:
                records: dict[Any, list[Any]] = await consumer.getmany(partition, timeout_ms=500)
                for record in records.get(partition, []):
                    found.append(decode_event(record.value))
        return found
    finally:
        await consumer.stop()
