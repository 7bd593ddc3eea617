"""The stack on one machine: Kafka, the worker, the collector, and the export to PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from runfold.deploy.embedded import KafkaServer, prepare_runtime
from runfold.deploy.embedded.child import GuardedChild
from runfold.deploy.embedded.data_dir import DataDir
from runfold.deploy.embedded.locks import FileLock, LockHeld
from runfold.deploy.embedded.ports import LOOPBACK
from runfold.deploy.settings import POSTGRES_FOLDER, Settings, running_stack
from runfold.deploy.stack_collector import StackCollector
from runfold.deploy.stack_export import StackExport
from runfold.deploy.stack_logs import KILLED, PartFailed, Step, last_words, make_room
from runfold.deploy.worker_status import read_status
from runfold.producers.client_settings import STACK_FILE
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.errors import ConfigurationError

_WORKER_READY_WITHIN = timedelta(seconds=60)
_WORKER_GRACE = timedelta(seconds=20)
_WATCH_SECONDS = 0.25
_ANY_FREE_PORT = f"{LOOPBACK}:0"


@dataclass(frozen=True, slots=True)
class StackPlaces:
    """Where the stack keeps its files under its data directory."""

    home: Path

    @property
    def kafka(self) -> Path:
        """Kafka's folder."""
        return self.home / "kafka"

    @property
    def kafka_log(self) -> Path:
        """What Kafka logs."""
        return DataDir(self.kafka).server_log

    @property
    def worker_log(self) -> Path:
        """What the worker logs."""
        return self.home / "logs" / "worker.log"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's folder."""
        return self.home / POSTGRES_FOLDER

    @property
    def export_log(self) -> Path:
        """What the export logs."""
        return self.home / "logs" / "export.log"

    @property
    def worker_status(self) -> Path:
        """What the worker says of its progress."""
        return self.home / "run" / "worker.json"

    @property
    def collector_log(self) -> Path:
        """What the collector logs."""
        return self.home / "logs" / "collector.log"

    @property
    def collector_status(self) -> Path:
        """Where the collector says that it serves."""
        return self.home / "run" / "collector.json"

    @property
    def description(self) -> Path:
        """What the running stack says of itself."""
        return self.home / STACK_FILE

    @property
    def lock(self) -> FileLock:
        """Held while a stack runs here."""
        return FileLock(self.home / "stack.lock")


class Stack:
    """Starts the parts in order and stops them in reverse; they end with this process in any case.

    Raises: ConfigurationError where one runs already, the errors of the parts.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.places = StackPlaces(settings.home)
        self.broker = settings.broker or ""
        self._worker: GuardedChild | None = None
        self._lock = self.places.lock
        self._kafka: KafkaServer | None = None
        self.collector = StackCollector(
            settings, self.places.collector_log, self.places.collector_status
        )
        self.export = StackExport(settings, self.places.postgres, self.places.export_log)

    @contextmanager
    def running(self, step: Step) -> Iterator[Stack]:
        """Run the stack for the time of a `with` block."""
        with ExitStack() as stops:
            self._take_lock(stops)
            if self._settings.broker is None:
                stops.callback(self._stop_kafka, step)
                self._start_kafka(step)
            self._ensure_topics(step)
            stops.callback(self._stop_worker, step)
            self._start_worker(step)
            stops.callback(self.collector.stop, step)
            self.collector.start(step, self._lock.descriptor, self.broker)
            stops.callback(self.export.stop, step)
            self.export.start(step, self.broker, self._lock.descriptor)
            self._describe(stops)
            yield self

    def watch(self, step: Step) -> None:
        """Start what was killed again; return never, raise when a part gives up by itself.

        Raises: PartFailed.
        """
        while True:
            time.sleep(_WATCH_SECONDS)
            code = None if self._worker is None else self._worker.exit_code()
            if code is not None and code < KILLED:
                last = last_words(self.places.worker_log)
                raise PartFailed(f"the worker ended with code {code}; its log says:\n{last}")
            if code is not None:
                self._start_worker(step)
            self.collector.watch(step)
            self.export.watch(step)
            code = None if self._kafka is None else self._kafka.exit_code()
            if code is not None:
                raise PartFailed(f"Kafka ended with code {code}; see `runfold logs kafka`")

    def _take_lock(self, stops: ExitStack) -> None:
        self.places.home.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(wait_for_orphan=timedelta(seconds=30))
        except LockHeld as error:
            raise ConfigurationError(
                f"a stack runs over {self.places.home} already (process {error.pid}); "
                "stop it with `runfold down`, or use another --data-dir"
            ) from error
        stops.callback(self._lock.release)

    def _start_kafka(self, step: Step) -> None:
        done = step("Kafka's jars")
        fetched: list[str] = []

        def note(finished: int, total: int, name: str) -> None:
            fetched.append(name)
            del finished, total

        runtime = prepare_runtime(progress=note)
        done(f"{len(runtime.jars)} jars " + ("fetched and checked" if fetched else "in the cache"))
        done = step("Kafka")
        server = KafkaServer(self.places.kafka, runtime)
        self._kafka = server
        server.start()
        server.wait_ready()
        self.broker = server.bootstrap
        done(f"Apache Kafka 4.3.1 on {self.broker}")

    def _stop_kafka(self, step: Step) -> None:
        if self._kafka is not None:
            done = step("stopping Kafka")
            self._kafka.stop()
            done("Kafka stopped; its log stays in " + str(self.places.kafka))

    def _ensure_topics(self, step: Step) -> None:
        done = step("topics")
        created = asyncio.run(ensure_topics(self.broker))
        done(f"created {', '.join(sorted(created))}" if created else "topics are there")

    def _start_worker(self, step: Step) -> None:
        done = step("worker")
        places = self.places
        places.worker_status.unlink(missing_ok=True)
        make_room(places.worker_log)
        command = [
            sys.executable, "-m", "runfold.deploy", "worker",
            "--broker", self.broker,
            "--lake", str(self._settings.lake_dir),
            "--group", self._settings.group,
            "--flush-interval", str(self._settings.flush_interval_seconds),
            "--listen", self._settings.worker_listen or _ANY_FREE_PORT,
            "--dead-letter-cap", str(self._settings.dead_letter_cap),
            "--data-dir", str(places.home),
            "--status-file", str(places.worker_status),
        ]  # fmt: skip
        self._worker = GuardedChild(
            command, cwd=places.home, environment=dict(os.environ), lock_fd=self._lock.descriptor
        )
        with places.worker_log.open("ab") as output:
            self._worker.start(output)
        status = self._wait_for_worker(self._worker)
        done(f"worker folds into {self._settings.lake_dir} ({status['runs_past']} runs known)")

    def _wait_for_worker(self, worker: GuardedChild) -> dict[str, object]:
        give_up_at = time.monotonic() + _WORKER_READY_WITHIN.total_seconds()
        while time.monotonic() < give_up_at:
            status = read_status(self.places.worker_status)
            if status is not None:
                return status
            if worker.exit_code() is not None:
                break
            time.sleep(0.05)
        raise PartFailed(
            "the worker did not become ready; its log says:\n" + last_words(self.places.worker_log)
        )

    def _stop_worker(self, step: Step) -> None:
        if self._worker is not None:
            done = step("stopping the worker")
            self._worker.stop(_WORKER_GRACE)
            done("worker flushed and stopped")

    def _describe(self, stops: ExitStack) -> None:
        described = {
            "pid": os.getpid(),
            "broker": self.broker,
            "embedded": self._kafka is not None,
            "lake": str(self._settings.lake_dir),
            "collector": self.collector.addresses,
            "page": self.collector.page,
            "postgres": self.export.address,
            "group": self._settings.group,
            "started_at": time.time(),
        }
        temporary = self.places.description.with_suffix(".tmp")
        temporary.write_text(json.dumps(described, indent=2), "utf-8")
        temporary.replace(self.places.description)
        stops.callback(self.places.description.unlink, missing_ok=True)


def stack_over(home: Path) -> dict[str, Any]:
    """Return what the stack over `home` says of itself, empty where none runs.

    A stack that was killed could not remove what it had written.
    """
    return running_stack(home) if is_stack_running(home) else {}


def is_stack_running(home: Path) -> bool:
    """Tell whether a stack runs over `home`, or has not quite ended."""
    if not home.is_dir():
        return False
    lock = StackPlaces(home).lock
    try:
        lock.acquire()
    except LockHeld:
        return True
    lock.release()
    return False
