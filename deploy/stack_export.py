"""The stack's PostgreSQL, its own or another one, and the export into it."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

from runfold.deploy.embedded.child import GuardedChild
from runfold.deploy.embedded.postgres import PostgresServer
from runfold.deploy.settings import Settings
from runfold.deploy.stack_logs import KILLED, PartFailed, Step, last_words, make_room, tail_of

_GRACE = timedelta(seconds=10)


class StackExport:
    """Starts PostgreSQL where none is given, and a process that exports to it.

    Shape: `address` is without password; `url_file` holds all of it where the server is our own.
    """

    def __init__(self, settings: Settings, folder: Path, log: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._log = log
        self._server: PostgresServer | None = None
        self._exporter: GuardedChild | None = None
        self._broker = ""
        self._lock_fd = -1
        self.address = _without_password(settings.postgres)
        self.url_file: Path | None = None

    def start(self, step: Step, broker: str, lock_fd: int) -> None:
        """Start both; the export inherits the lock of the stack. Raises: EmbeddedError."""
        self._broker = broker
        self._lock_fd = lock_fd
        if self._settings.postgres is None:
            self._server = PostgresServer(self._folder)
            self._start_server(step)
        self._start_exporter(step)

    def watch(self, step: Step) -> None:
        """Start again what was killed. Raises: PartFailed for what gave up by itself."""
        code = None if self._server is None else self._server.exit_code()
        if code is not None and code < KILLED:
            said = tail_of(self._folder / "postgres.log", 15)
            raise PartFailed(f"PostgreSQL ended with code {code}; its log says:\n{said}")
        if code is not None:
            self._start_server(step)
        code = None if self._exporter is None else self._exporter.exit_code()
        if code is not None and code < KILLED:
            raise PartFailed(
                f"the export ended with code {code}; its log says:\n{last_words(self._log)}"
            )
        if code is not None:
            self._start_exporter(step)

    def stop(self, step: Step) -> None:
        """Stop both, the export first."""
        done = step("stopping the export")
        if self._exporter is not None:
            self._exporter.stop(_GRACE)
        if self._server is not None:
            self._server.stop()
            done("export and PostgreSQL stopped")
        else:
            done("export stopped")

    def _start_server(self, step: Step) -> None:
        if self._server is None:
            return
        done = step("PostgreSQL")
        self._server.stop()
        self._server.start()
        self._server.wait_ready()
        self.address = self._server.address
        self.url_file = self._folder / "url"
        done(f"PostgreSQL on {self.address}")

    def _start_exporter(self, step: Step) -> None:
        done = step("export")
        make_room(self._log)
        settings = self._settings
        url = self._server.url if self._server is not None else settings.postgres
        command = [
            sys.executable, "-m", "runfold.deploy", "export", "--follow",
            "--lake", str(settings.lake_dir), "--broker", self._broker,
            "--data-dir", str(settings.home),
        ]  # fmt: skip
        self._exporter = GuardedChild(
            command,
            cwd=settings.home,
            # Not among the arguments, which every user of the machine can read.
            environment=dict(os.environ) | {"RUNFOLD_POSTGRES": url or ""},
            lock_fd=self._lock_fd,
        )
        with self._log.open("ab") as output:
            self._exporter.start(output)
        done("export to PostgreSQL follows the lake")


def _without_password(url: str | None) -> str:
    if url is None:
        return ""
    from runfold.sinks.postgres.connecting import shown  # brings DuckDB along

    return shown(url)
