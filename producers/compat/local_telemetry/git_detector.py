"""Which repository and branch an agent runs in, by the names that the replaced client gave them."""

from __future__ import annotations

from pathlib import Path

from runfold.producers.debug import explain
from runfold.producers.git_context.context import origin_address, read_git_context
from runfold.producers.git_context.remote import bare_name


class GitDetector:
    """Detects the repository of a folder once, without starting git. No method raises."""

    def __init__(self, working_dir: str | None = None, auto_detect: bool = True) -> None:
        """Take the working directory of now where none is given."""
        self.working_dir = working_dir or _working_directory()
        self.auto_detect = auto_detect
        self._known: dict[str, str] | None = None

    def get_git_context(self, force_refresh: bool = False) -> dict[str, str]:
        """Return `git_repo` (the bare name in the origin's address), `git_branch`, `git_run_tag`.

        Shape: what is not known is left out; {} outside of a repository.
        """
        if not self.auto_detect:
            return {}
        if self._known is None or force_refresh:
            self._known = self._detect()
        return dict(self._known)

    def clear_cache(self) -> None:
        """Look again at the next call."""
        self._known = None

    def _detect(self) -> dict[str, str]:
        context = read_git_context(self.working_dir)
        if context is None:
            return {}
        try:
            address = origin_address(self.working_dir)
        except (OSError, ValueError, TypeError) as error:
            explain("the git remote cannot be read", error)
            address = None
        repo = bare_name(address) if address else None
        found = {
            "git_repo": repo,
            "git_branch": context.branch,
            "git_run_tag": f"{repo}/{context.branch}" if repo and context.branch else repo,
        }
        return {name: value for name, value in found.items() if value}


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return "."
