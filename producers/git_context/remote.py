"""Taking the address of a remote apart, and leaving out who it was written for.

Source: git-clone(1), "GIT URLS".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_SCHEMES = {"https", "http", "ssh", "git", "git+ssh", "ssh+git", "git+https", "git+http"}
_SCP_LIKE = re.compile(r"(?:[^@/\s]+@)?(?P<host>\[[^\]\s]+\]|[^:/@\s]{2,}):(?!//)(?P<path>[^\s]+)")
_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:/@\[\]\s\\]+)(?::(?P<port>\d{1,5})?)?")
_ODD = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a repository is served, without user, password or token.

    Shape: `path` has neither a leading slash nor `.git` behind it; `port` as far as it was written.
    """

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def name(self) -> str:
        """The last part of the path, the repository's own name."""
        return self.path.rsplit("/", 1)[-1]


def parse_remote(address: str) -> Remote | None:
    """Return where an https, http, ssh, git or scp-like address leads, None for all others.

    Shape: an address with a `@` behind its host is none of these: the user or password in it may
    hold an unescaped `/`, `?` or `#`, and nobody can say where the secret ends.
    """
    text = address.strip()
    if _ODD.search(text):
        return None
    if "://" not in text:
        scp = _SCP_LIKE.fullmatch(text)
        return _remote("ssh", scp["host"], None, scp["path"]) if scp else None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    place = _PLACE.fullmatch(parts.netloc.rpartition("@")[2])
    if scheme not in _SCHEMES or place is None or "@" in parts.query + parts.fragment:
        return None
    port = int(place["port"]) if place["port"] else None
    return _remote(
        scheme.removeprefix("git+").removesuffix("+git"), place["host"], port, parts.path
    )


def bare_name(address: str) -> str | None:
    """Return the repository's name in any address, that of a folder included."""
    last = re.split(r"[/\\:]", address.strip().rstrip("/\\"))[-1]
    return last.removesuffix(".git") or None


def _remote(scheme: str, host: str, port: int | None, path: str) -> Remote | None:
    path = path.strip("/").removesuffix(".git").rstrip("/")
    if not path or "@" in path or not {"", ".."}.isdisjoint(path.split("/")):
        return None
    return Remote(scheme, host, port, quote(path, safe="/%~:+,=!$&'()*;"))
