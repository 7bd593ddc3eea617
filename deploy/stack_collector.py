"""The stack's collector: its own process, at the usual ports or the next free ones."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from runfold.deploy.embedded.child import GuardedChild
from runfold.deploy.settings import Settings
from runfold.deploy.stack_logs import KILLED, PartFailed, Step, last_words, make_room
from runfold.deploy.worker_status import read_status
from runfold.producers.collector.server import Address, listen
from runfold.schemas.errors import ConfigurationError

_READY_WITHIN = timedelta(seconds=60)
_GRACE = timedelta(seconds=30)
_TRIES = 3
_NEXT_PORTS = 100
_TAKEN = "cannot listen"


class StackCollector:
    """Starts the collector, and starts it again at the same addresses where it was killed.

    Shape: `addresses` are where it serves, `moved` says which ports were taken, and what is used
    instead: another stack may run on this machine, or another system's collector.
    """

    def __init__(self, settings: Settings, log: Path, status: Path) -> None:
        self._settings = settings
        self._log = log
        self._status = status
        self._child: GuardedChild | None = None
        self._lock_fd = -1
        self._broker = ""
        self._options: list[str] = []
        self.addresses: list[str] = []
        self.moved: dict[str, str] = {}

    @property
    def page(self) -> str:
        """The URL of the page that shows the runs."""
        scheme = "http" if self._settings.collector_tls_cert is None else "https"
        return f"{scheme}://{self.addresses[0]}/"

    def start(self, step: Step, lock_fd: int, broker: str) -> None:
        """Start it; it inherits the lock of the stack. Raises: PartFailed, ConfigurationError."""
        self._lock_fd, self._broker = lock_fd, broker
        for tries_left in reversed(range(_TRIES)):
            self._choose_ports()
            try:
                self._start(step)
                break
            except PartFailed as error:  # a port may have been taken between looking and listening
                if not tries_left or _TAKEN not in str(error):
                    raise

    def watch(self, step: Step) -> None:
        """Start again what was killed. Raises: PartFailed where it gave up by itself."""
        code = None if self._child is None else self._child.exit_code()
        if code is not None and code < KILLED:
            last = last_words(self._log)
            raise PartFailed(f"the collector ended with code {code}; its log says:\n{last}")
        if code is not None:
            self._start(step)

    def stop(self, step: Step) -> None:
        """Let it finish what was begun, and end."""
        if self._child is not None:
            done = step("stopping the collector")
            self._child.stop(_GRACE)
            done("collector finished and stopped")

    def _start(self, step: Step) -> None:
        done = step("collector")
        self._status.parent.mkdir(parents=True, exist_ok=True)
        self._status.unlink(missing_ok=True)
        make_room(self._log)
        command = [
            sys.executable, "-m", "runfold.deploy", "collector",
            "--broker", self._broker,
            "--lake", str(self._settings.lake_dir),
            "--data-dir", str(self._settings.home),
            "--status-file", str(self._status),
            *self._options,
        ]  # fmt: skip
        child = GuardedChild(
            command,
            cwd=Path.cwd(),  # the files of a certificate may be named from here
            environment=dict(os.environ),
            lock_fd=self._lock_fd,
        )
        self._child = child
        with self._log.open("ab") as output:
            child.start(output)
        self.addresses = [str(each) for each in self._wait_for(child)["addresses"]]
        done(f"collector takes telemetry at {', '.join(self.addresses)}")
        for taken, instead in self.moved.items():
            step("")(f"{taken} is taken, so the collector uses {instead}")

    def _wait_for(self, child: GuardedChild) -> dict[str, list[str]]:
        give_up_at = time.monotonic() + _READY_WITHIN.total_seconds()
        while time.monotonic() < give_up_at:
            status = read_status(self._status)
            if status is not None:
                return status
            if child.exit_code() is not None:
                break
            time.sleep(0.05)
        child.kill()
        said = last_words(self._log)
        if _TAKEN in said:
            said += (
                "\nsomebody took its port: `runfold up` takes the next free one, "
                "RUNFOLD_COLLECTOR_LISTEN chooses another"
            )
        raise PartFailed(f"the collector did not start; its log says:\n{said}")

    def _choose_ports(self) -> None:
        self._options, self.moved = [], {}
        used: set[int] = set()
        for option, setting, wanted in self._wanted():
            if not wanted:
                self._options += [option, ""]
                continue
            address = Address.parse(wanted, setting)
            free = _free_near(address, used)
            if free.port != address.port != 0:
                self.moved[wanted] = str(free)
            self._options += [option, str(free)]

    def _wanted(self) -> Iterator[tuple[str, str, str]]:
        for each in self._settings.collector_listen:
            yield "--listen", "collector_listen", each
        yield "--grpc-listen", "collector_grpc_listen", self._settings.collector_grpc_listen
        health = self._settings.collector_health_listen
        yield "--health-listen", "collector_health_listen", health


def _free_near(wanted: Address, used: set[int]) -> Address:
    """Return the address, or the next one that is free of those behind it; a free one for port 0.

    Raises: ConfigurationError where none is free, or nobody can listen at that host.
    """
    refused: ConfigurationError | None = None
    for port in range(wanted.port, min(wanted.port + _NEXT_PORTS, 1 << 16)):
        try:
            with listen(wanted._replace(port=port)) as listening:
                port = listening.getsockname()[1]
        except ConfigurationError as error:
            refused = refused or error
            continue
        if port not in used:
            used.add(port)
            return wanted._replace(port=port)
    raise refused or ConfigurationError(f"cannot listen at {wanted}: all ports behind it are used")
