"""The key that an Agent Framework collector is given by its environment when it starts."""

from __future__ import annotations

import hashlib
import hmac

from runfold.producers.collector.access import Access, Caller, KeyRefused, Scope

_KEY_ID = "AGENT_FRAMEWORK_API_KEY"


class StartupKey:
    """Admits one key to send events, kept as a digest only, and leaves others to `others`.

    Shape: with a `host`, the key may send events of that host only. Implements `Access`.
    """

    def __init__(self, key: str, *, host: str | None, others: Access | None = None) -> None:
        self._digest = _digest(key)
        self._caller = Caller(key_id=_KEY_ID, host=host)
        self._others = others

    def admit(self, presented: str | None, scope: Scope, peer: str) -> Caller:
        """Return who calls; see `Access`."""
        matches = hmac.compare_digest(_digest(presented or ""), self._digest)
        if matches and scope is Scope.INGEST:
            return self._caller
        if self._others is not None:
            return self._others.admit(presented, scope, peer)
        if presented is None:
            raise KeyRefused("a key is needed", missing=True)
        raise KeyRefused("the key is unknown")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
