"""Links to repositories and commits for the three hosts that the replaced client knew.

`runfold.producers.git_context` has links for self-hosted ones too, and for ssh and http remotes.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from runfold.producers.git_context.remote import parse_remote

_PLATFORMS = {"github.com": "github", "gitlab.com": "gitlab", "bitbucket.org": "bitbucket"}
_BELOW = {"github": "commit", "gitlab": "-/commit", "bitbucket": "commits"}
_SCP_LIKE = re.compile(r"git@([^:]+):(.+)")
_USER = re.compile(r"^([\w+.-]+://)[^/]*@")


def detect_platform(repo_url: str | None) -> str | None:
    """Return `github`, `gitlab` or `bitbucket` by the host of an address, else None."""
    text = (repo_url or "").strip()
    remote = parse_remote(text) or parse_remote(f"https://{text}")
    return _PLATFORMS.get(remote.host.lower().removeprefix("www.")) if remote else None


def normalize_repo_url(repo_url: str | None) -> str:
    """Return an address as https and without user, trailing `.git` and slashes."""
    url = (repo_url or "").strip()
    scp_like = _SCP_LIKE.fullmatch(url)
    if scp_like:
        url = f"https://{scp_like[1]}/{scp_like[2]}"
    return _USER.sub(r"\1", url).removesuffix(".git").rstrip("/")


def build_repo_url(repo_url: str | None) -> str | None:
    """Return the page of a repository at any https host, None for other addresses."""
    url = normalize_repo_url(repo_url)
    return url if url.startswith("https://") and parse_remote(url) else None


def build_commit_url(repo_url: str | None, commit_hash: str | None) -> str | None:
    """Return the page of a commit at GitHub, GitLab or Bitbucket, None elsewhere."""
    page, platform = build_repo_url(repo_url), detect_platform(repo_url)
    commit = (commit_hash or "").strip()
    if page is None or platform is None or not commit:
        return None
    return f"{page}/{_BELOW[platform]}/{quote(commit, safe='')}"
