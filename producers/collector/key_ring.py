"""The keys that a collector knows, and who they let in."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from runfold.producers.collector.access import Caller, KeyRefused
from runfold.producers.collector.problems import Problem
from runfold.producers.collector.token_bucket import Buckets, TokenBucket
from runfold.schemas.access_key import AccessKey, Scope, digest_of, id_within

_FAILURES_AT_ONCE = 20
_FAILURES_PER_SECOND = 1 / 3
_MOST_WELCOME = 10_000
_BURST_SECONDS = 2.0
_NOT_YET = "the keys are not known yet: Kafka has not been read"


class KeyRing:
    """Lets in who presents a key that the topic of keys holds; an `Access`.

    Shape: until the topic was read once (`is_complete`) nobody comes in. An address that presents
    wrong keys is heard again after a while only, since a key that was taken over may be a weak one.
    Keys of our own, which nobody guesses, and those that were let in before always come in: others
    may be behind the same address.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._keys: dict[str, AccessKey] = {}
        self._ids_by_digest: dict[bytes, str] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._failures = Buckets(_FAILURES_PER_SECOND, _FAILURES_AT_ONCE)
        self._welcome: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self.is_complete = False

    def put(self, key_id: str, key: AccessKey | None) -> None:
        """Take what the topic says of a key; None is that there is none any more."""
        before = self._keys.pop(key_id, None)
        if before is not None:
            self._ids_by_digest.pop(before.digest, None)
            self._ids_by_digest.pop(before.earlier_digest or b"", None)
        if key is None or before is None or key.requests_per_second != before.requests_per_second:
            self._buckets.pop(key_id, None)
        if key is not None:
            self._keys[key_id] = key
            for digest in (key.digest, key.earlier_digest):
                if digest is not None:
                    self._ids_by_digest[digest] = key_id

    def has_valid_key(self) -> bool:
        """Tell whether anybody can come in with a key."""
        now = round(self._clock() * 1_000_000)
        return any(each.standing(now) == "valid" for each in self._keys.values())

    def admit(self, presented: str | None, scope: Scope, peer: str) -> Caller:
        """Return who calls; see `Access`."""
        if not self.is_complete:
            raise Problem(503, _NOT_YET, timedelta(seconds=1))
        if presented is None:
            raise KeyRefused("a key is needed", missing=True)
        digest = digest_of(presented)
        key = self._find(presented, digest)
        if key is None or id_within(presented) != key.key_id:
            self._hear(peer, digest)
        if key is None:
            self._failures.take(peer, self._monotonic())
            raise KeyRefused("the key is unknown, revoked or expired")
        self._remember(peer, digest)
        if not key.allows(scope):
            raise KeyRefused(f"key {key.key_id} does not allow {scope.value}")
        self._limit(key)
        return Caller(key.key_id, key.project, key.host)

    def _find(self, presented: str, digest: bytes) -> AccessKey | None:
        key = self._keys.get(id_within(presented) or self._ids_by_digest.get(digest, ""))
        now = round(self._clock() * 1_000_000)
        if key is None or not key.matches(digest, now) or key.standing(now) != "valid":
            return None
        return key

    def _hear(self, peer: str, digest: bytes) -> None:
        if (peer, digest) in self._welcome:
            return
        wait = self._failures.wait(peer, self._monotonic())
        if wait:
            raise Problem(429, "too many wrong keys came from there", timedelta(seconds=wait))

    def _remember(self, peer: str, digest: bytes) -> None:
        self._welcome[peer, digest] = None
        self._welcome.move_to_end((peer, digest))
        if len(self._welcome) > _MOST_WELCOME:
            self._welcome.popitem(last=False)

    def _limit(self, key: AccessKey) -> None:
        rate = key.requests_per_second
        if rate is None:
            return
        now = self._monotonic()
        bucket = self._buckets.get(key.key_id)
        if bucket is None:
            bucket = TokenBucket.full(rate, max(1.0, rate * _BURST_SECONDS), now)
            self._buckets[key.key_id] = bucket
        wait = bucket.take(now)
        if wait:
            raise Problem(
                429,
                f"key {key.key_id} may send {rate:g} requests a second",
                timedelta(seconds=wait),
            )
