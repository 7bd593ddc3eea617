"""Asking git itself whether tracked files differ from the commit. Starts a process."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from runfold.producers.debug import explain

PATIENCE = timedelta(seconds=5)
_COMMAND = (
    "git",
    "-c", "core.fsmonitor=false",  # no program that the repository names is run
    "--no-optional-locks",  # nothing is in the way of the user's own git
    "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=dirty",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GitStatus:
    """What git says of a work tree. `dirty`: a tracked file differs from the commit."""

    branch: str | None
    commit: str | None
    dirty: bool


def ask_git(work_tree: Path, *, patience: timedelta = PATIENCE) -> GitStatus | None:
    """Return the state of a work tree, None where git is missing, fails or takes too long.

    Untracked files do not count: agents write what they make next to what they read.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            _COMMAND,
            cwd=work_tree,
            env={**environment, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience.total_seconds(),
            check=True,
        )
        return _parsed(done.stdout.decode("utf-8", "replace"))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        explain("git does not tell whether the work tree is dirty", error)
        return None


def _parsed(output: str) -> GitStatus:
    said: dict[str, str] = {}
    dirty = False
    for line in output.splitlines():
        if line.startswith("# "):
            name, _, value = line[2:].partition(" ")
            said[name] = value
        else:
            dirty = dirty or bool(line)
    branch, commit = said.get("branch.head"), said.get("branch.oid")
    return GitStatus(
        branch=None if branch == "(detached)" else branch,
        commit=None if commit == "(initial)" else commit,
        dirty=dirty,
    )
