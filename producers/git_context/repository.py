"""Where git keeps what it knows of a folder: `.git`, worktrees, submodules, bare repositories.

Source: gitrepository-layout(5). Only files are read, no process is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LARGEST_SMALL_FILE = 64 * 1024
_LINKS_FOLLOWED = 5
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BRANCHES = "refs/heads/"


@dataclass(frozen=True, slots=True)
class Repository:
    """The folders of one repository.

    Shape: `work_tree` is None for a bare one. `git_dir` has the HEAD; branches and configuration
    are in `common_dir`, which all worktrees of a repository share.
    """

    work_tree: Path | None
    git_dir: Path
    common_dir: Path


@dataclass(frozen=True, slots=True)
class Head:
    """What is checked out. `branch` is None when detached, `commit` before the first one."""

    branch: str | None
    commit: str | None


def find_repository(start: Path) -> Repository | None:
    """Return the repository that `start` lies in, None where there is none.

    Raises: OSError, ValueError where its files are broken or may not be read.
    """
    for folder in (start, *start.parents):
        entry = folder / ".git"
        if entry.is_file():
            return _at(_linked(entry, "gitdir:"), work_tree=folder)
        if (entry / "HEAD").is_file():
            return _at(entry, work_tree=folder)
        if _is_bare(folder):
            return _at(folder, work_tree=None)
    return None


def read_head(repository: Repository) -> Head:
    """Return the branch and commit that are checked out.

    Raises: OSError, ValueError where its files are broken or may not be read.
    """
    text = read_small(repository.git_dir / "HEAD").strip()
    name = _symbolic(text)
    if name is None:
        return Head(None, _hash(text))
    branch = name.removeprefix(_BRANCHES) if name.startswith(_BRANCHES) else None
    if branch == ".invalid":  # with reftable, where only git itself finds the branch
        branch = None
    return Head(branch, _commit_of(repository, name))


def read_small(path: Path) -> str:
    """Return the text of a small file, as far as 64 KiB. Raises: OSError, ValueError."""
    with path.open("rb") as stream:
        return stream.read(_LARGEST_SMALL_FILE).decode()


def _at(git_dir: Path, *, work_tree: Path | None) -> Repository:
    common = git_dir / "commondir"
    shared = _linked(common, "") if common.is_file() else git_dir
    return Repository(work_tree, git_dir, shared)


def _linked(file: Path, prefix: str) -> Path:
    text = read_small(file).strip()
    if not text.startswith(prefix):
        raise ValueError(f"{file} does not begin with {prefix!r}")
    return file.parent / text.removeprefix(prefix).strip()


def _is_bare(folder: Path) -> bool:
    return (
        all((folder / each).is_dir() for each in ("objects", "refs"))
        and (folder / "HEAD").is_file()
    )


def _symbolic(text: str) -> str | None:
    """Return the reference that a file points to, None where it holds something else."""
    if not text.startswith("ref:"):
        return None
    name = text.removeprefix("ref:").strip()
    if not name.startswith("refs/") or ".." in name.split("/"):
        raise ValueError(f"{name!r} is no name of a reference")
    return name


def _commit_of(repository: Repository, name: str) -> str | None:
    for _ in range(_LINKS_FOLLOWED):
        text = _loose(repository, name)
        if text is None:
            return next(_packed(repository, name), None)
        further = _symbolic(text)
        if further is None:
            return _hash(text)
        name = further
    return None


def _loose(repository: Repository, name: str) -> str | None:
    for folder in dict.fromkeys((repository.git_dir, repository.common_dir)):
        try:
            return read_small(folder / name).strip()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            continue
    return None


def _packed(repository: Repository, name: str) -> Iterator[str]:
    wanted = name.encode()
    try:
        stream = (repository.common_dir / "packed-refs").open("rb")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            found, _, packed_name = line.rstrip().partition(b" ")
            if packed_name == wanted:
                commit = _hash(found.decode())
                if commit is not None:
                    yield commit


def _hash(text: str) -> str | None:
    return text if _HASH.fullmatch(text) else None
