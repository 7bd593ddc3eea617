"""Records that cannot become events, one of each kind that a worker has to survive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runfold.producers.demo.script import digest
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.vocabulary import DeadLetterReason, EventType

YEAR_ONE_US = -62_135_596_800_000_000


@dataclass(frozen=True, slots=True)
class BadRecord:
    """The key and the value of a Kafka record that ends in the dead letters.

    Shape: `reason` is what the worker will say of it.
    """

    key: bytes | None
    value: bytes | None
    reason: DeadLetterReason


def bad_records(seed: int, now_us: int) -> Iterator[BadRecord]:
    """Yield one record for each of several reasons; the same for the same arguments."""
    encode = SparseEncoder(latest("event"))
    run_id = f"broken-{digest(seed, now_us, 'bad', size=5)}"
    good = {
        "event_id": f"{run_id}-1",
        "run_id": run_id,
        "event_type": EventType.RUN_STARTED.value,
        "occurred_at": now_us,
        "agent_name": "broken-agent",
    }
    key = run_id.encode()
    framed = encode(good)
    yield BadRecord(key, b'{"event": "this is JSON, not Avro"}', DeadLetterReason.NOT_AVRO)
    unknown = b"\xc3\x01" + bytes.fromhex(digest(seed, "schema", size=8)) + framed[10:]
    yield BadRecord(key, unknown, DeadLetterReason.UNKNOWN_SCHEMA)
    yield BadRecord(None, framed, DeadLetterReason.NO_KEY)
    yield BadRecord(key, None, DeadLetterReason.NO_VALUE)
    yield BadRecord(key, framed[:-40], DeadLetterReason.BAD_BODY)
    yield BadRecord(b"another-run", framed, DeadLetterReason.KEY_MISMATCH)
    yield BadRecord(key, encode({**good, "event_id": ""}), DeadLetterReason.MISSING_ID)
    yield BadRecord(key, encode({**good, "occurred_at": YEAR_ONE_US}), DeadLetterReason.BAD_TIME)
