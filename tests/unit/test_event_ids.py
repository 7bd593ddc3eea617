"""Sets of event ids: what is known, what is missing, and how small they stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas.event_ids import EventIdSet, find_minted_id, split_minted_id
from runfold.schemas.offsets import OffsetRange

PRODUCERS = ["rf00000000000000000001.1", "rf00000000000000000001.2", "rf0000000000000000000a"]
MINTED = st.builds(
    lambda producer, sequence: f"{producer}-{sequence}",
    st.sampled_from(PRODUCERS),
    st.integers(1, 15),
)
FOREIGN = st.sampled_from(["", "a", "rf-1", "rf00000000000000000001.1-0", "ü-1", "\ud800", "x-1-2"])
IDS = st.lists(st.one_of(MINTED, MINTED, FOREIGN), max_size=40)


@given(IDS)
def test_a_set_of_ids_is_a_set(ids: list[str]) -> None:
    seen, plain = EventIdSet(), set[str]()
    for event_id in ids:
        assert (event_id in seen) == (event_id in plain)
        assert seen.add(event_id) == (event_id not in plain)
        plain.add(event_id)
    assert len(seen) == len(plain)


@given(IDS)
def test_ranges_neither_touch_nor_overlap_and_survive_packing(ids: list[str]) -> None:
    seen = EventIdSet()
    for event_id in ids:
        seen.add(event_id)
    for bounds in seen.ranges.values():
        assert all(b - a > 1 for a, b in zip(bounds[1::2], bounds[2::2], strict=False))
        assert all(first <= last for first, last in zip(bounds[::2], bounds[1::2], strict=True))
    packed = EventIdSet.unpack(seen.ranges.items(), seen.packed_hashes())
    assert packed == seen
    twin = seen.copy()
    twin.add("one more")
    assert twin != seen


@given(IDS, st.integers(1, 15), st.integers(0, 5))
def test_a_stretch_is_taken_only_where_none_of_it_can_be_known(
    ids: list[str], first: int, more: int
) -> None:
    seen, one_by_one = EventIdSet(), EventIdSet()
    for event_id in ids:
        seen.add(event_id)
        one_by_one.add(event_id)
    before = seen.copy()
    if seen.extend(PRODUCERS[0], first, first + more):
        assert all(one_by_one.add(f"{PRODUCERS[0]}-{n}") for n in range(first, first + more + 1))
        assert seen == one_by_one
    else:
        assert seen == before


def test_what_a_producer_counted_and_nobody_saw_is_missing() -> None:
    seen = EventIdSet()
    for sequence in (*range(3, 88), *range(105, 201)):
        seen.add(f"{PRODUCERS[0]}-{sequence}")
    seen.add(f"{PRODUCERS[1]}-1")
    assert seen.missing() == {PRODUCERS[0]: [OffsetRange(1, 2), OffsetRange(88, 104)]}


@pytest.mark.parametrize(
    "event_id",
    [
        "0d3f6e0c-1b1e-4d5a-9d53-212345678910",
        "rf0000000000000000000-1",
        "rf00000000000000000001-01",
        "rf00000000000000000001.1-1234567890123456789",
        "rf00000000000000000001.x-1",
        "rf00000000000000000001.1-٣",
        "rf00000000000000000001.1-1\n",
    ],
)
def test_an_id_from_elsewhere_is_not_taken_for_a_sequence(event_id: str) -> None:
    assert split_minted_id(event_id) is None


@given(MINTED, st.binary(max_size=40), st.binary(max_size=40))
def test_an_id_is_found_in_a_damaged_record(event_id: str, before: bytes, after: bytes) -> None:
    as_avro = bytes([2 * len(event_id)]) + event_id.encode()
    assert find_minted_id(before + as_avro + after) == event_id


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"rf00000000000000000001-1",
        b"\x31rf00000000000000000001-1",  # an odd length
        b"\x34rf00000000000000000001-1",  # longer than what is left of the record
        b"\x32rf00000000000000000001-1x",  # more than an id
        b"\x30rf0000000000000000001-1\xff",
    ],
)
def test_what_only_looks_like_an_id_is_none(record: bytes) -> None:
    assert find_minted_id(record) is None
