"""The data directory of the embedded broker: where its parts lie, its lock, its ports.

lock                held while a broker works here; names the process that started it
ports.json          the ports of the last start
config/             written at every start
data/               Kafka's own: the log and the metadata of the cluster
logs/               server.log (Kafka, rotated), console.log (Java, of the last start)
tmp/                Java's temporary files, emptied at every start
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from runfold.deploy.embedded.errors import DataDirLocked, DataDirUnusable
from runfold.deploy.embedded.locks import FileLock, LockHeld

_ORPHAN_WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of one start, and the client port that had been wished for."""

    client: int
    controller: int
    wished: int


class DataDir:
    """One broker's folder on disk; the names of its parts and who may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.config = self.path / "config"
        self.kafka = self.path / "data"
        self.logs = self.path / "logs"
        self.temporary = self.path / "tmp"
        self.server_log = self.logs / "server.log"
        self.console_log = self.logs / "console.log"
        self.lock = FileLock(self.path / "lock")

    def open(self) -> None:
        """Create what is missing and lock the directory.

        Waits for the broker of a process that died to end. Errors: DataDirLocked (halt) names the
        process that has it, DataDirUnusable (halt).
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(wait_for_orphan=_ORPHAN_WAIT)
            shutil.rmtree(self.temporary, ignore_errors=True)
            for folder in (self.config, self.logs, self.temporary):
                folder.mkdir(exist_ok=True)
        except LockHeld as error:
            raise DataDirLocked(self.path, error.pid) from error
        except OSError as error:
            self.lock.release()
            raise DataDirUnusable(f"{self.path} cannot be used: {error}") from error

    def close(self) -> None:
        """Give up this process's hold on the lock; a broker that inherited it keeps its own."""
        self.lock.release()

    @property
    def cluster_id(self) -> str | None:
        """Return the id of the cluster whose data this is, None before it was formatted."""
        try:
            text = (self.kafka / "meta.properties").read_text("utf-8")
        except FileNotFoundError:
            return None
        entries = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        return entries.get("cluster.id")

    def last_ports(self) -> Ports | None:
        """Return the ports of the last start, None if there was none or they cannot be read."""
        try:
            return Ports(**json.loads((self.path / "ports.json").read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            # Only a wish is lost with them: the next start chooses again.
            return None

    def remember_ports(self, ports: Ports) -> None:
        """Keep the ports for the next start."""
        draft = self.path / "ports.json.new"
        draft.write_text(json.dumps(asdict(ports)), "utf-8")
        draft.replace(self.path / "ports.json")

    def log_sizes(self) -> dict[Path, int]:
        """Return how long each log is now, for `log_tail`."""
        logs = (self.console_log, self.server_log)
        return {log: log.stat().st_size for log in logs if log.exists()}

    def log_tail(self, since: dict[Path, int], *, lines: int = 20) -> str:
        """Return the last lines that each log has gained since it had the sizes given."""
        tails = [
            _tail(log, since.get(log, 0), lines) for log in (self.console_log, self.server_log)
        ]
        return "\n".join(tail for tail in tails if tail)


def _tail(log: Path, start: int, lines: int) -> str:
    try:
        with log.open("rb") as content:
            # A log that is shorter than it was has been rotated: all of it is new.
            start = start if content.seek(0, os.SEEK_END) >= start else 0
            content.seek(max(start, content.tell() - 64 * 1024))
            text = content.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
