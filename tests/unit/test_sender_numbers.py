"""Which of the numbers that a sender gives never came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.sinks.audit.sender_numbers import holes_between


def found(numbers: list[int]) -> list[tuple[int, int]]:
    return [(each.first, each.last) for each in holes_between(numbers)]


@pytest.mark.parametrize(
    ("numbers", "holes"),
    [
        ([], []),
        ([0, 1, 2], []),
        ([0, 1, 4, 5, 9], [(2, 3), (6, 8)]),
        ([57, 58], []),  # a session that began in a running process
        ([0, 1, 2, 0, 1], []),  # resumed: counted anew
        ([0, 1, 2, 0, 2], [(1, 1)]),
        ([100, 0, 101, 1], []),  # two processes at once
        ([100, 0, 102, 1], [(101, 101)]),
    ],
)
def test_holes_are_between_numbers_that_follow_each_other(
    numbers: list[int], holes: list[tuple[int, int]]
) -> None:
    assert found(numbers) == holes


@given(st.integers(0, 50), st.sets(st.integers(1, 30)))
def test_what_is_left_out_of_one_count_is_found(begin: int, lost: set[int]) -> None:
    kept = [begin + each for each in range(32) if each not in lost]
    missing = {n for first, last in found(kept) for n in range(first, last + 1)}
    assert missing == {begin + each for each in lost}
