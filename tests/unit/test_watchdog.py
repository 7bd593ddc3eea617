"""The watchdog: which partitions are stalled, from nothing but what was observed and when."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from runfold.processors.watchdog import Watchdog

WINDOW = timedelta(seconds=30)


class Look(NamedTuple):
    """One observation of one partition; `log_end` None while Kafka does not answer."""

    now: float
    log_end: int | None
    durable: int | None


def stalled_since(looks: list[Look]) -> float | None:
    watchdog = Watchdog(WINDOW)
    for look in looks:
        ends = {} if look.log_end is None else {0: look.log_end}
        watchdog.observe(look.now, ends, {0: look.durable})
    return watchdog.stalled().get(0)


def test_a_partition_whose_lag_grows_while_it_stands_is_stalled_after_the_window() -> None:
    looks = [Look(now, 100 + now, 100) for now in range(0, 32, 2)]
    assert stalled_since(looks) is None
    assert stalled_since([*looks, Look(32, 132, 100)]) == 2  # at 0 there was no lag


def test_a_lag_that_does_not_grow_is_stalled_all_the_same() -> None:
    assert stalled_since([Look(now, 101, 100) for now in (5, 20, 35)]) == 5


def test_a_partition_that_moves_a_little_is_well_however_large_its_lag() -> None:
    assert stalled_since([Look(now, 10**9, 100 + now // 28) for now in range(0, 300, 2)]) is None


def test_a_partition_that_has_all_is_well_for_ever() -> None:
    assert stalled_since([Look(now, 100, 100) for now in range(0, 3600, 2)]) is None


def test_one_that_went_on_is_given_a_whole_window_again() -> None:
    stuck = [Look(now, 200, 100) for now in range(0, 60, 2)]
    assert stalled_since([*stuck, Look(60, 200, 150)]) is None
    assert stalled_since([*stuck, Look(60, 200, 150), Look(89, 200, 150)]) is None
    assert stalled_since([*stuck, Look(60, 200, 150), Look(90, 200, 150)]) == 60


def test_a_takeover_that_does_not_end_is_a_stall() -> None:
    assert stalled_since([Look(now, 100, None) for now in range(0, 32, 2)]) == 0


def test_while_kafka_does_not_answer_who_waited_goes_on_waiting_and_nobody_begins_to() -> None:
    silence = [Look(now, None, 100) for now in range(2, 60, 2)]
    assert stalled_since([Look(0, 100, 100), *silence]) is None
    assert stalled_since([Look(0, 101, 100), *silence]) == 0


def test_a_partition_that_was_given_away_and_came_back_begins_anew() -> None:
    watchdog = Watchdog(WINDOW)
    watchdog.observe(0, {0: 9, 1: 9}, {0: 5, 1: 5})
    watchdog.observe(20, {0: 9, 1: 9}, {1: 5})
    watchdog.observe(40, {0: 9, 1: 9}, {0: 5, 1: 5})
    assert watchdog.stalled() == {1: 0}


steps = st.lists(
    st.tuples(
        st.integers(0, 40),  # seconds since the look before
        st.integers(0, 2),  # records that came
        st.integers(0, 2),  # records that were made durable, at most what there is
    ),
    min_size=1,
    max_size=40,
)


@given(steps)
def test_stalled_is_who_had_a_lag_and_stood_at_every_look_of_a_whole_window(
    steps: list[tuple[int, int, int]],
) -> None:
    looks: list[Look] = []
    now = end = durable = 0
    for seconds, came, done in steps:
        now, end = now + seconds, end + came
        durable = min(end, durable + done)
        looks.append(Look(now, end, durable))
        standing = [
            start
            for start in range(len(looks))
            if all(
                each.durable == durable and each.durable < end_of(each) for each in looks[start:]
            )
        ]
        since = looks[min(standing)].now if standing else None
        expected = since if since is not None and now - since >= 30 else None
        assert stalled_since(looks) == expected


def end_of(look: Look) -> int:
    assert look.log_end is not None
    return look.log_end
