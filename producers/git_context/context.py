"""What an agent's repository is, as far as its files tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runfold.producers.debug import explain
from runfold.producers.git_context.config_file import remote_addresses
from runfold.producers.git_context.remote import bare_name, parse_remote
from runfold.producers.git_context.repository import find_repository, read_head, read_small
from runfold.producers.git_context.web_urls import web_url


@dataclass(frozen=True, slots=True)
class GitContext:
    """The repository that a folder lies in.

    Shape: `name` is the last part of the remote's address, else that of the folder; `url` its page
    without any user or token, None where it is not on the network. `branch` is None when detached,
    `commit` before the first one; `work_tree` for a bare repository.
    """

    name: str
    url: str | None
    branch: str | None
    commit: str | None
    work_tree: Path | None

    def fields(self) -> dict[str, Any]:
        """Return the fields of an event that say so."""
        named = {
            "git_repo": self.url or self.name,
            "git_branch": self.branch,
            "git_commit_hash": self.commit,
        }
        return {name: value for name, value in named.items() if value is not None}


def read_git_context(start: Path | str | None = None) -> GitContext | None:
    """Return the repository of `start`, by default the working directory; None where none is found.

    Reads a handful of small files and starts no process. Never raises: what is broken or may not
    be read is not known, and RUNFOLD_DEBUG=1 tells why.
    """
    try:
        return _read(Path.cwd() if start is None else Path(start).absolute())
    except (OSError, ValueError, TypeError) as error:
        explain("the git repository cannot be read", error)
        return None


def origin_address(start: Path | str) -> str | None:
    """Return the address of the remote `origin` as it is configured, secrets included.

    Raises: OSError, ValueError where the repository's files are broken.
    """
    repository = find_repository(Path(start).absolute())
    if repository is None:
        return None
    return _addresses(repository.common_dir).get("origin")


def _read(start: Path) -> GitContext | None:
    repository = find_repository(start)
    if repository is None:
        return None
    head = read_head(repository)
    addresses = _addresses(repository.common_dir)
    address = addresses.get("origin") or (
        next(iter(addresses.values())) if len(addresses) == 1 else None
    )
    remote = parse_remote(address) if address else None
    folder = repository.work_tree or repository.common_dir
    return GitContext(
        name=remote.name if remote else (address and bare_name(address)) or _name_of(folder),
        url=web_url(address),
        branch=head.branch,
        commit=head.commit,
        work_tree=repository.work_tree,
    )


def _addresses(common_dir: Path) -> dict[str, str]:
    try:
        return remote_addresses(read_small(common_dir / "config"))
    except FileNotFoundError:
        return {}


def _name_of(folder: Path) -> str:
    return folder.resolve().name.removesuffix(".git") or "repository"
