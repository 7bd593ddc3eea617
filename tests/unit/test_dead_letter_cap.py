"""The cap on dead letters: when a worker halts, and that it has done nothing by then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.processors.dead_letter_cap import DeadLetterCap
from runfold.schemas.codec.columns import Rejected
from runfold.schemas.errors import TooManyDeadLetters
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from tests.unit.test_partitions import Made, make
from tests.unit.test_run_table import batch, logged

__all__ = ["make"]

BATCHES = st.lists(st.lists(st.booleans(), min_size=1, max_size=30), max_size=20)


def rejected(rows: list[int], reason: str = "not_avro") -> list[Rejected]:
    return [Rejected(row, reason, f"{reason} is why") for row in rows]


def crosses(recent: list[bool], cap: DeadLetterCap) -> bool:
    window = recent[-cap.window :]
    return len(window) >= cap.at_least and sum(window) > cap.share * len(window)


@given(BATCHES, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_it_halts_at_the_batch_in_which_too_many_recent_records_become_bad(
    batches: list[list[bool]], share: float
) -> None:
    cap = DeadLetterCap(share, window=20, at_least=10)
    seen: list[bool] = []
    for bad in batches:
        rows = [row for row, is_bad in enumerate(bad) if is_bad]
        expected = any(crosses(seen + bad[: row + 1], cap) for row in [*rows, len(bad) - 1])
        if expected:
            with pytest.raises(TooManyDeadLetters):
                cap.watch(len(bad), rejected(rows), "here")
            return
        cap.watch(len(bad), rejected(rows), "here")
        seen += bad


def test_what_it_says_names_counts_the_commonest_reason_the_place_and_the_way_out() -> None:
    cap = DeadLetterCap()
    cap.watch(600, [], "runfold.events partition 3 offset 0")
    letters = rejected(list(range(400)), "bad_time") + rejected(list(range(400, 900)), "not_avro")
    with pytest.raises(TooManyDeadLetters) as halted:
        cap.watch(900, letters, "runfold.events partition 3 offset 600")
    said = str(halted.value)
    assert "601 of the last 1,201 records" in said
    assert "50%" in said
    assert "bad_time: bad_time is why" in said
    assert "partition 3 offset 600" in said
    assert "--dead-letter-cap 1" in said


def test_a_share_of_one_never_halts() -> None:
    everything = rejected(list(range(20_000)))
    DeadLetterCap(1.0).watch(20_000, everything, "here")
    with pytest.raises(TooManyDeadLetters):
        DeadLetterCap(0.99).watch(20_000, everything, "here")


def test_a_few_bad_records_at_the_beginning_do_not_halt() -> None:
    cap = DeadLetterCap()
    cap.watch(999, rejected(list(range(999))), "here")
    with pytest.raises(TooManyDeadLetters):
        cap.watch(1, rejected([0]), "here")


async def test_the_batch_that_crosses_the_cap_is_neither_folded_nor_dead_lettered(
    make: Callable[..., Made],
) -> None:
    owner, lake, letters, asked = make()
    await owner.resume({3}, {3: (0, 9000)})
    await owner.take(owner.prepare(batch(logged(0, 1), 0)), asked)
    junk: list[bytes | None] = [b"junk"] * 1500
    offsets = list(range(2, 1502))
    bad = RecordBatch(LogPartition("a-topic", 3), 2, offsets, [0] * 1500, [b"k"] * 1500, junk)
    with pytest.raises(TooManyDeadLetters, match="events partition 3 offset 2;"):
        await owner.take(owner.prepare(bad), asked)
    await owner.flush_all()  # as a worker does that ends
    assert letters.sent == []
    assert [str(each.range) for each in lake.flushes] == ["0-1"]
    assert owner.durable() == {3: 2}
