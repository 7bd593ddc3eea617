"""Who calls, and what that caller may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runfold.schemas.access_key import Scope

__all__ = ["Access", "Caller", "KeyRefused", "OpenAccess", "Scope"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `key_id` names a key and is no secret; None is someone without one.

    Shape: events of a caller with a `project` belong to that project whatever they say, and such a
    caller reads that project's runs only. With a `host`, only events of that host are taken.
    """

    key_id: str | None = None
    project: str | None = None
    host: str | None = None


class KeyRefused(Exception):
    """A key is missing, unknown, or allows less. `missing`: none was presented."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Access(Protocol):
    """Decides who may do what. Answers from memory, at once."""

    def admit(self, presented: str | None, scope: Scope, peer: str) -> Caller:
        """Return who calls, by the key that was `presented` and the address of the `peer`.

        Raises: KeyRefused; Problem 429 with `retry_after` where the caller's limit is reached, 503
        where keys are not known yet.
        """


class OpenAccess:
    """Lets everybody in: for tests, and where nothing needs a key."""

    def admit(self, presented: str | None, scope: Scope, peer: str) -> Caller:
        """Return a caller without a name; see `Access`."""
        del presented, scope, peer
        return Caller()
