"""A key that lets a client of a collector in: what it allows, and digests of its secret."""

from __future__ import annotations

import hashlib
import io
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from hmac import compare_digest

import fastavro

from runfold.schemas.codec.decoder import decode
from runfold.schemas.codec.framing import Framing, written_header
from runfold.schemas.codec.registry import latest

SCHEMA = "access_key"
_FRAMING = Framing(SCHEMA)
_PREFIX = "rfk"
_ID_BYTES = 5
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key allows."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One key as the topic `runfold.keys` has it.

    Shape: digests are of the whole key as it is presented. A key with a `project` sends and reads
    nothing but that project's; one with a `host` sends nothing but that host's.
    Units: times in microseconds since 1970, UTC; None is never.
    """

    key_id: str
    digest: bytes
    scopes: tuple[Scope, ...]
    created_at: int
    description: str = ""
    project: str | None = None
    host: str | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    requests_per_second: float | None = None
    earlier_digest: bytes | None = None
    earlier_until: int | None = None

    def matches(self, digest: bytes, now: int) -> bool:
        """Tell whether a key of that digest is this one, in a time that does not depend on it."""
        matches = compare_digest(self.digest, digest)
        if self.earlier_digest is not None and now < (self.earlier_until or 0):
            matches |= compare_digest(self.earlier_digest, digest)
        return matches

    def allows(self, scope: Scope) -> bool:
        """Tell whether it allows that; who may administrate may do all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def standing(self, now: int) -> str:
        """Return `valid`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"

    def rotated(self, digest: bytes, *, now: int, grace: timedelta) -> AccessKey:
        """Return it with another secret; the present one is taken for the time of `grace`."""
        until = now + round(grace.total_seconds() * 1_000_000)
        return replace(self, digest=digest, earlier_digest=self.digest, earlier_until=until)

    def encode(self) -> bytes:
        """Return it as a record's value."""
        out = io.BytesIO()
        fastavro.schemaless_writer(out, latest(SCHEMA).parsed, asdict(self))
        return written_header(SCHEMA) + out.getvalue()

    @classmethod
    def decode(cls, value: bytes) -> AccessKey:
        """Return the key that a record's value holds. Raises: EventRejected."""
        found = decode(value, _FRAMING)
        known = {each.value for each in Scope}
        scopes = tuple(Scope(each) for each in found["scopes"] if each in known)
        return cls(**{**found, "scopes": scopes})


def digest_of(presented: str) -> bytes:
    """Return the digest of a key as its holder presents it."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()


def new_key_id() -> str:
    """Return an id that no other key has."""
    return secrets.token_hex(_ID_BYTES)


def new_secret(key_id: str) -> str:
    """Return what the holder of a key presents: `rfk_<id>_<256 random bits>`."""
    return f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_within(presented: str) -> str | None:
    """Return the id that a key of ours names, None where it is no such key."""
    prefix, _, rest = presented.partition("_")
    key_id, _, secret = rest.partition("_")
    return key_id if prefix == _PREFIX and key_id and secret else None
