"""Links to a repository and to a commit in the web pages of its host."""

from __future__ import annotations

import re
from enum import StrEnum

from runfold.producers.git_context.remote import Remote, parse_remote

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_SSH_HOSTS = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}
"""Names that answer ssh on port 443 and serve no pages."""
_BITBUCKET_SERVER_SSH_PORT = 7999


class Platform(StrEnum):
    """What runs at a host. Bitbucket Server has other links than the cloud's Bitbucket."""

    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    BITBUCKET_SERVER = "bitbucket-server"


def platform_of(address: str) -> Platform | None:
    """Return what serves a remote, by the name of its host; None where that does not tell."""
    remote = parse_remote(address)
    return None if remote is None else _platform(remote)


def web_url(address: str | None) -> str | None:
    """Return the page of a repository, None where its remote is no address on the network.

    Shape: `address` as in git's configuration: https, http, ssh, git or scp-like. Users,
    passwords and tokens in it are never part of the page's address. A port of ssh or git is left
    out; one of http or https is kept.
    """
    remote = parse_remote(address) if address else None
    return None if remote is None else _page(remote, _platform(remote))


def commit_url(
    address: str | None, commit: str | None, *, platform: Platform | None = None
) -> str | None:
    """Return the page of a commit, None where there is none.

    Shape: `commit` is 7 to 64 hexadecimal digits. `platform` says what runs at a host whose name
    does not; without it such a host is taken to have GitHub's links, as Gitea and Forgejo do.
    """
    remote = parse_remote(address) if address else None
    if remote is None or not commit or not _COMMIT.fullmatch(commit):
        return None
    served_by = platform or _platform(remote)
    page = _page(remote, served_by)
    if served_by is Platform.GITLAB:
        return f"{page}/-/commit/{commit}"
    if served_by in (Platform.BITBUCKET, Platform.BITBUCKET_SERVER):
        return f"{page}/commits/{commit}"
    return f"{page}/commit/{commit}"


def _platform(remote: Remote) -> Platform | None:
    host = _SSH_HOSTS.get(remote.host.lower(), remote.host.lower())
    if host == "bitbucket.org":
        return Platform.BITBUCKET
    labels = host.split(".")
    for platform in (Platform.GITHUB, Platform.GITLAB):
        if any(label.startswith(platform.value) for label in labels):
            return platform
    if (
        any(label.startswith(("bitbucket", "stash")) for label in labels)
        or remote.path.startswith("scm/")
        or (remote.scheme == "ssh" and remote.port == _BITBUCKET_SERVER_SSH_PORT)
    ):
        return Platform.BITBUCKET_SERVER
    return None


def _page(remote: Remote, platform: Platform | None) -> str:
    on_the_web = remote.scheme in ("https", "http")
    scheme = remote.scheme if on_the_web else "https"
    host = _SSH_HOSTS.get(remote.host.lower(), remote.host)
    port = f":{remote.port}" if on_the_web and remote.port else ""
    path = remote.path
    if platform is Platform.BITBUCKET_SERVER:
        path = _path_on_bitbucket_server(path)
    return f"{scheme}://{host}{port}/{path}"


def _path_on_bitbucket_server(path: str) -> str:
    *before, owner, repository = path.removeprefix("scm/").rsplit("/", 2)
    if before or not owner:
        return path
    kind = "users" if owner.startswith("~") else "projects"
    return f"{kind}/{owner.removeprefix('~')}/repos/{repository}"
