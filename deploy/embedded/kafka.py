"""A real Apache Kafka of one node, as a child process of this one."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from runfold.deploy.embedded.broker_config import write_config
from runfold.deploy.embedded.child import GuardedChild
from runfold.deploy.embedded.class_archive import ClassArchive
from runfold.deploy.embedded.data_dir import DataDir, Ports
from runfold.deploy.embedded.errors import DataDirUnusable, KafkaNotRunning, KafkaStartFailed
from runfold.deploy.embedded.java import java_environment
from runfold.deploy.embedded.ports import LOOPBACK, choose_port
from runfold.deploy.embedded.probe import ask_identity
from runfold.deploy.embedded.runtime import KafkaRuntime
from runfold.deploy.embedded.storage import format_storage

OnStep = Callable[[str], None]
"""Called with a short present participle ("starting Kafka") before each step of a start."""

READY_WITHIN = timedelta(seconds=60)
STOP_GRACE = timedelta(seconds=20)

_POLL_SECONDS = 0.03
_PROBE_TIMEOUT = timedelta(seconds=2)
_PORT_ATTEMPTS = 3
_CLEAN_EXIT_CODES = (0, 128 + signal.SIGTERM)
_KAFKA_GAVE_UP = 1


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """How a broker is run. A port is a wish: when it is taken, a free one is chosen."""

    client_port: int = 9092
    controller_port: int = 9093
    heap_max_mebibytes: int = 512
    properties: Mapping[str, str] = field(default_factory=dict)
    """Entries of server.properties that override runfold's."""


class KafkaServer:
    """One Kafka node over one data directory.

    `start` locks the directory and starts the process, `wait_ready` returns when it serves, `stop`
    ends it cleanly; then it may be started again and finds its data. Whatever ends this Python
    process ends the broker too. Not safe to share between threads.
    """

    def __init__(
        self, data_dir: Path, runtime: KafkaRuntime, *, options: KafkaOptions | None = None
    ) -> None:
        self._dir = DataDir(data_dir)
        self._runtime = runtime
        self._options = options or KafkaOptions()
        self._child: GuardedChild | None = None
        self._ports: Ports | None = None
        self._archive = ClassArchive(runtime.archive_dir, runtime.java, runtime.jars)
        self._log_sizes: dict[Path, int] = {}

    @property
    def data_dir(self) -> Path:
        """Return the data directory."""
        return self._dir.path

    @property
    def log_file(self) -> Path:
        """Return the file that Kafka logs to."""
        return self._dir.server_log

    @property
    def bootstrap(self) -> str:
        """Return the address for clients, host:port; it is final once `wait_ready` has returned."""
        if self._ports is None:
            raise KafkaNotRunning("the broker has not been started")
        return f"{LOOPBACK}:{self._ports.client}"

    @property
    def cluster_id(self) -> str | None:
        """Return the id of the cluster, None before the first start."""
        return self._dir.cluster_id

    @property
    def pid(self) -> int:
        """Return the process id of the broker. Errors: KafkaNotRunning."""
        return self._running().pid

    def exit_code(self) -> int | None:
        """Return how the broker ended (128 + signal when killed), None while it runs."""
        return None if self._child is None else self._child.exit_code()

    def start(self, on_step: OnStep | None = None) -> None:
        """Start the broker; it serves when `wait_ready` returns.

        Errors: DataDirLocked, DataDirUnusable, KafkaStartFailed (all halt). After an error nothing
        runs and the directory is unlocked.
        """
        if self._child is not None:
            raise KafkaStartFailed("this broker has been started already", "")
        tell = on_step or _ignore_step
        tell("locking the data directory")
        self._dir.open()
        try:
            self._archive.prepare()
            self._choose_ports()
            if self._dir.cluster_id is None:
                tell("formatting the storage")
                format_storage(self._dir, self._runtime, archive=self._archive.options(grow=False))
            tell("starting Kafka")
            self._spawn()
        except OSError as error:
            self._dir.close()
            raise DataDirUnusable(f"{self.data_dir} cannot be used: {error}") from error
        except BaseException:
            self._dir.close()
            raise

    def wait_ready(self, deadline: timedelta = READY_WITHIN) -> None:
        """Return when the broker answers a request; `deadline` counts from now.

        A port that another process took meanwhile is replaced by a free one. Errors:
        KafkaStartFailed (halt) with the last lines of the log; then the broker is gone.
        """
        self._running()
        give_up_at = time.monotonic() + deadline.total_seconds()
        attempts = 1
        while not self._serves():
            code = self.exit_code()
            if code is not None and attempts < _PORT_ATTEMPTS and self._lost_its_port():
                attempts += 1
                self._running().stop(STOP_GRACE)
                self._dir.open()
                self._choose_ports()
                self._spawn()
            elif code is not None:
                if code not in (_KAFKA_GAVE_UP, *_CLEAN_EXIT_CODES):
                    # Java itself crashed; an archive that is damaged would crash it every time.
                    self._archive.discard()
                raise self._give_up(f"Kafka ended while it started (exit code {code})")
            elif time.monotonic() >= give_up_at:
                raise self._give_up(f"Kafka did not answer within {deadline.total_seconds():g} s")
            time.sleep(_POLL_SECONDS)

    def stop(self, grace: timedelta = STOP_GRACE) -> None:
        """Stop the broker cleanly, kill it after `grace`, and return when it is gone.

        Safe to repeat, and to call when it was never started or has died.
        """
        if self._child is None:
            return
        code = self._child.stop(grace)
        if code in _CLEAN_EXIT_CODES:
            self._archive.adopt()
        self._forget()

    def kill(self) -> None:
        """Kill the broker as a power cut would, and return when it is gone."""
        if self._child is not None:
            self._child.kill()
            self._forget()

    def pause(self) -> None:
        """Freeze the broker; from the return on it keeps its connections and answers nothing."""
        self._running().freeze()

    def resume(self) -> None:
        """Let a frozen broker go on."""
        self._running().signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _running(self) -> GuardedChild:
        if self._child is None:
            raise KafkaNotRunning("the broker has not been started")
        return self._child

    def _choose_ports(self) -> None:
        """Choose the ports of the last start if they are free and the wish is still the same."""
        wished = self._options.client_port
        last = self._dir.last_ports()
        same = last if last is not None and last.wished == wished else None
        client = choose_port(same.client if same else 0, wished)
        controller = choose_port(
            same.controller if same else 0,
            self._options.controller_port,
            avoid=frozenset({client}),
        )
        self._ports = Ports(client, controller, wished)
        self._dir.remember_ports(self._ports)
        write_config(self._dir, self._ports, self._options.properties)

    def _spawn(self) -> None:
        self._log_sizes = self._dir.log_sizes()
        child = GuardedChild(
            self._runtime.broker_command(
                self._dir,
                heap_max_mebibytes=self._options.heap_max_mebibytes,
                archive=self._archive.options(grow=True),
            ),
            cwd=self.data_dir,
            environment=java_environment(),
            lock_fd=self._dir.lock.descriptor,
        )
        with self._dir.console_log.open("wb") as output:
            self._log_sizes.pop(self._dir.console_log, None)
            child.start(output)
        self._child = child
        # The child holds the lock from here on: a process forked off this one must not.
        self._dir.close()

    def _serves(self) -> bool:
        """Return whether the broker itself answers, not another program on its port."""
        if self._ports is None or self.exit_code() is not None:
            return False
        try:
            identity = ask_identity(LOOPBACK, self._ports.client, timeout=_PROBE_TIMEOUT)
        except OSError:
            # Nothing to say: this is asked again until the deadline, or until the process ends.
            return False
        return identity.cluster_id == self.cluster_id and self.bootstrap in identity.brokers

    def _lost_its_port(self) -> bool:
        return "Address already in use" in self._dir.log_tail(self._log_sizes, lines=200)

    def _give_up(self, problem: str) -> KafkaStartFailed:
        tail = self._dir.log_tail(self._log_sizes)
        self.kill()
        return KafkaStartFailed(problem, tail)

    def _forget(self) -> None:
        self._archive.discard_draft()
        self._child = None


def _ignore_step(step: str) -> None:
    """Report nothing."""
