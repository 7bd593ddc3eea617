"""Who is let in with which key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.producers.collector.access import Caller, KeyRefused
from runfold.producers.collector.key_ring import KeyRing
from runfold.producers.collector.problems import Problem
from runfold.producers.collector.token_bucket import Buckets, TokenBucket
from runfold.schemas.access_key import AccessKey, Scope, digest_of, new_key_id, new_secret

PEER = "10.0.0.7"
DAY = timedelta(days=1)
DAY_US = 86_400_000_000


class Clock:
    """A clock that tests move; both the wall's and the one that only goes forward."""

    def __init__(self) -> None:
        self.seconds = 1_763_700_000.0

    def __call__(self) -> float:
        return self.seconds

    @property
    def us(self) -> int:
        return round(self.seconds * 1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring(clock: Clock) -> KeyRing:
    ring = KeyRing(clock, clock)
    ring.is_complete = True
    return ring


def make(clock: Clock, *scopes: Scope, **allowed: object) -> tuple[AccessKey, str]:
    key_id = new_key_id()
    secret = new_secret(key_id)
    key = AccessKey(key_id, digest_of(secret), scopes or (Scope.INGEST,), clock.us, **allowed)  # type: ignore[arg-type]
    return key, secret


def test_a_key_lets_in_for_what_it_allows_and_binds_to_its_project(
    ring: KeyRing, clock: Clock
) -> None:
    key, secret = make(clock, Scope.INGEST, project="shop", host="build-7")
    ring.put(key.key_id, key)
    assert ring.admit(secret, Scope.INGEST, PEER) == Caller(key.key_id, "shop", "build-7")
    with pytest.raises(KeyRefused, match="does not allow read"):
        ring.admit(secret, Scope.READ, PEER)
    with pytest.raises(KeyRefused) as missing:
        ring.admit(None, Scope.INGEST, PEER)
    assert missing.value.missing


def test_who_administrates_may_do_all(ring: KeyRing, clock: Clock) -> None:
    key, secret = make(clock, Scope.ADMIN)
    ring.put(key.key_id, key)
    assert all(ring.admit(secret, scope, PEER).key_id == key.key_id for scope in Scope)


@pytest.mark.parametrize("change", ["deleted", "revoked", "expired", "other secret"])
def test_a_key_that_is_no_more_lets_nobody_in(ring: KeyRing, clock: Clock, change: str) -> None:
    key, secret = make(clock, expires_at=clock.us + DAY_US)
    ring.put(key.key_id, key)
    ring.admit(secret, Scope.INGEST, PEER)
    if change == "deleted":
        ring.put(key.key_id, None)
    elif change == "revoked":
        revoked = AccessKey(key.key_id, key.digest, key.scopes, clock.us, revoked_at=clock.us)
        ring.put(key.key_id, revoked)
    elif change == "expired":
        clock.seconds += 86_400
    else:
        secret = new_secret(key.key_id)
    with pytest.raises(KeyRefused, match="unknown, revoked or expired"):
        ring.admit(secret, Scope.INGEST, PEER)
    assert ring.has_valid_key() is (change == "other secret")


def test_after_a_rotation_the_old_secret_is_good_for_the_grace_time(
    ring: KeyRing, clock: Clock
) -> None:
    key, old = make(clock)
    new = new_secret(key.key_id)
    ring.put(key.key_id, key)
    ring.put(key.key_id, key.rotated(digest_of(new), now=clock.us, grace=DAY))
    assert ring.admit(old, Scope.INGEST, PEER) == ring.admit(new, Scope.INGEST, PEER)
    clock.seconds += 86_400
    ring.admit(new, Scope.INGEST, PEER)
    with pytest.raises(KeyRefused):
        ring.admit(old, Scope.INGEST, PEER)


def test_a_key_of_another_system_is_known_by_its_digest(ring: KeyRing, clock: Clock) -> None:
    key = AccessKey("ab", digest_of("tok-1"), (Scope.INGEST,), clock.us)
    ring.put("ab", key)
    assert ring.admit("tok-1", Scope.INGEST, PEER).key_id == "ab"
    with pytest.raises(KeyRefused):
        ring.admit("tok-2", Scope.INGEST, PEER)


def test_before_the_keys_are_known_nobody_comes_in_and_all_are_told_to_wait(clock: Clock) -> None:
    ring = KeyRing(clock, clock)
    key, secret = make(clock)
    ring.put(key.key_id, key)
    for presented in (secret, None):
        with pytest.raises(Problem) as refused:
            ring.admit(presented, Scope.INGEST, PEER)
        assert (refused.value.status, bool(refused.value.retry_after)) == (503, True)


def test_a_limit_is_kept_and_says_when_to_come_back(ring: KeyRing, clock: Clock) -> None:
    key, secret = make(clock, requests_per_second=2.0)
    other, unlimited = make(clock)
    ring.put(key.key_id, key)
    ring.put(other.key_id, other)
    for _ in range(4):
        ring.admit(secret, Scope.INGEST, PEER)
    with pytest.raises(Problem, match="2 requests a second") as limited:
        ring.admit(secret, Scope.INGEST, PEER)
    assert (limited.value.status, limited.value.retry_after) == (429, timedelta(seconds=0.5))
    ring.admit(unlimited, Scope.INGEST, PEER)
    clock.seconds += 0.5
    ring.admit(secret, Scope.INGEST, PEER)


def test_who_guesses_is_not_heard_for_a_while_but_who_was_let_in_before_is(
    ring: KeyRing, clock: Clock
) -> None:
    key, secret = make(clock)
    ring.put(key.key_id, key)
    for token in ("seen", "unseen"):
        ring.put(token, AccessKey(token, digest_of(token), (Scope.INGEST,), clock.us))
    ring.admit("seen", Scope.INGEST, PEER)
    for guess in range(20):
        with pytest.raises(KeyRefused):
            ring.admit(f"rfk_{key.key_id}_{guess}", Scope.INGEST, PEER)
    for presented in ("guess", "unseen", f"rfk_{key.key_id}_guess"):
        with pytest.raises(Problem, match="wrong keys") as locked:
            ring.admit(presented, Scope.INGEST, PEER)
        assert locked.value.status == 429
    ring.admit("seen", Scope.INGEST, PEER)
    ring.admit("unseen", Scope.INGEST, "10.0.0.8")
    ring.admit(secret, Scope.INGEST, PEER)  # nobody guesses one of ours
    clock.seconds += 3
    ring.admit("unseen", Scope.INGEST, PEER)


def test_a_key_that_allows_less_is_no_guess(ring: KeyRing, clock: Clock) -> None:
    key, secret = make(clock, Scope.READ)
    ring.put(key.key_id, key)
    ring.put("ab", AccessKey("ab", digest_of("tok-1"), (Scope.INGEST,), clock.us))
    for _ in range(30):
        with pytest.raises(KeyRefused, match="does not allow ingest"):
            ring.admit(secret, Scope.INGEST, PEER)
    ring.admit("tok-1", Scope.INGEST, PEER)


@given(steps=st.lists(st.floats(0, 5), max_size=60), rate=st.floats(0.1, 50))
def test_a_bucket_never_gives_more_than_its_rate_and_its_burst(
    steps: list[float], rate: float
) -> None:
    bucket = TokenBucket.full(rate, 3.0, 0.0)
    now, taken = 0.0, 0
    for step in steps:
        now += step
        wait = bucket.take(now)
        taken += wait == 0
        assert wait == 0 or replace(bucket).wait(now + wait) < 1e-6
    assert taken <= 3 + rate * now + 1e-6


def test_of_many_addresses_those_not_heard_for_longest_are_forgotten() -> None:
    buckets = Buckets(1.0, 1, most=2)
    for name in ("a", "b", "c"):
        buckets.take(name, 0.0)
    assert [buckets.wait(name, 0.0) > 0 for name in ("a", "b", "c")] == [False, True, True]
