"""The git fields of runs that start now, without making them wait."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from runfold.producers.debug import explain
from runfold.producers.fork import watch_forks
from runfold.producers.git_context.context import GitContext, read_git_context
from runfold.producers.git_context.status import GitStatus, ask_git

FILES_READ_EVERY_SECONDS = 1.0
GIT_ASKED_EVERY_SECONDS = 30.0
DIRTY = "git_dirty"
"""The attribute that says whether tracked files differ from the commit."""


class GitWatch:
    """Knows the repository of one folder, by default the working directory.

    `fields()` reads small files at most once a second. Whether tracked files differ from the
    commit only git can say: a thread of its own asks at most every 30 seconds while runs start, and
    until it has answered the runs do not say it. Thread-safe; no method raises.
    """

    def __init__(self, directory: Path | str | None = None) -> None:
        self._directory = directory
        self._context: GitContext | None = None
        self._read_at: float | None = None
        self._after_fork()
        watch_forks(self)

    def fields(self) -> dict[str, Any]:
        """Return the fields of an event that say repository, branch, commit and whether dirty."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at >= FILES_READ_EVERY_SECONDS:
            self._context = read_git_context(self._directory)
            self._read_at = now
        context = self._context
        if context is None:
            return {}
        fields = context.fields()
        status = self._status
        if status is not None:
            if context.commit is None:  # the files did not tell, as with reftable
                fields |= _named(git_branch=status.branch, git_commit_hash=status.commit)
            if fields.get("git_commit_hash") == status.commit:
                fields[DIRTY] = status.dirty
        if context.work_tree is not None:
            self._ask_soon(context.work_tree, now)
        return fields

    def wait(self, seconds: float) -> None:
        """Wait until git has answered what it is being asked."""
        asking = self._asking
        if asking is not None:
            asking.join(seconds)

    def after_fork_in_child(self) -> None:
        """Forget the parent's thread."""
        self._after_fork()

    def _after_fork(self) -> None:
        self._status: GitStatus | None = None
        self._asked_at: float | None = None
        self._asking: threading.Thread | None = None
        self._lock = threading.Lock()

    def _ask_soon(self, work_tree: Path, now: float) -> None:
        with self._lock:
            if self._asked_at is not None and now - self._asked_at < GIT_ASKED_EVERY_SECONDS:
                return
            self._asked_at = now
            self._asking = threading.Thread(
                target=self._ask, args=(work_tree,), name="runfold-git", daemon=True
            )
        try:
            self._asking.start()
        except RuntimeError as error:
            explain("no thread to ask git with", error)

    def _ask(self, work_tree: Path) -> None:
        self._status = ask_git(work_tree)


def _named(**fields: str | None) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
