"""The data directory of the embedded PostgreSQL: where its parts lie, its lock, its owner.

lock                held while a server works here; names the process that started it
port                the port of the last start
password            of the user `runfold`, made once; only the owner may read it
url                 the address of the running server, password included; only the owner may read it
data/               PostgreSQL's own; PG_VERSION names the version that made it
postgres.log        what the server logs
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from runfold.deploy.embedded.errors import DataDirLocked, DataDirUnusable
from runfold.deploy.embedded.locks import FileLock, LockHeld

_ORPHAN_WAIT = timedelta(seconds=30)
_LOG_KEPT_BYTES = 10 * 1024 * 1024
_OTHER_USER = "nobody"
"""Who PostgreSQL runs as where this process is root, which it refuses to be."""


class PostgresDir:
    """One server's folder on disk; the names of its parts and who may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.data = self.path / "data"
        self.log = self.path / "postgres.log"
        self.url = self.path / "url"
        self.lock = FileLock(self.path / "lock")
        self._password = self.path / "password"
        self._port = self.path / "port"

    def open(self) -> None:
        """Create what is missing and lock the directory.

        Waits for the server of a process that died to end. Errors: DataDirLocked (halt) names the
        process that has it, DataDirUnusable (halt).
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(wait_for_orphan=_ORPHAN_WAIT)
            # The lock belongs to every process of a server: with it in hand, none is left.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            if self.log.exists() and self.log.stat().st_size > _LOG_KEPT_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        except LockHeld as error:
            raise DataDirLocked(self.path, error.pid) from error
        except OSError as error:
            self.lock.release()
            raise DataDirUnusable(f"{self.path} cannot be used: {error}") from error

    @property
    def version(self) -> str | None:
        """Return the major version whose data this is, None before it was made."""
        with suppress(FileNotFoundError):
            return (self.data / "PG_VERSION").read_text("ascii").strip()
        return None

    @property
    def password(self) -> str:
        """Return the password."""
        return self._password.read_text("ascii")

    def ensure_password(self) -> Path:
        """Return the file of the password, which is made where there is none."""
        if not self._password.exists():
            write_secret(self._password, secrets.token_urlsafe(24))
        return self._password

    def last_port(self) -> int:
        """Return the port of the last start, 0 if there was none or it cannot be read."""
        try:
            return int(self._port.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            # Only a wish is lost with it: the next start chooses again.
            return 0

    def remember(self, port: int, url: str) -> None:
        """Keep the port for the next start, and the address for those who may read it."""
        self._port.write_text(str(port), "ascii")
        write_secret(self.url, url)

    def new_draft(self) -> Path:
        """Return an empty folder, of the user that the server runs as, to become the data.

        It is renamed when it is whole, so that what was broken off is begun anew.
        """
        draft = self.path / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        user = other_user()
        if user is not None:
            os.chown(draft, user.pw_uid, user.pw_gid)
        return draft


def other_user() -> pwd.struct_passwd | None:
    """Return who PostgreSQL is to run as, None where that is the user of this process."""
    return pwd.getpwnam(_OTHER_USER) if os.geteuid() == 0 else None


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, at once."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    draft.replace(path)
