"""When a run was at work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runfold.producers.importers.claude_code.stretches import GRACE_US, stretches

SECOND = 1_000_000
IDLE = 100 * SECOND


def ends(
    times: list[int], *, now: int, completed: list[tuple[int, str, str]] | None = None
) -> list[int | None]:
    marks = [(at * SECOND, f"line-{at}") for at in times]
    seen = [(at * SECOND, name, status) for at, name, status in completed or []]
    found = stretches(marks, seen, idle_us=IDLE, now_us=now * SECOND)
    return [each.ended[0] // SECOND if each.ended else None for each in found]


def test_work_without_a_pause_is_one_stretch() -> None:
    assert ends([0, 50, 150], now=250) == [None]


def test_silence_ends_it() -> None:
    assert ends([0, 50], now=151) == [50]


def test_a_pause_cuts_it() -> None:
    assert ends([0, 50, 300], now=310) == [50, None]


def test_a_parent_that_saw_the_end_ends_it_at_once() -> None:
    assert ends([0, 50], now=60, completed=[(55, "tool", "success")]) == [55]


def test_an_end_seen_just_before_the_last_line_covers_it() -> None:
    assert GRACE_US == 2 * SECOND
    assert ends([0, 50, 51], now=60, completed=[(50, "tool", "success")]) == [51]


def test_an_agent_resumed_after_its_end_runs_again() -> None:
    assert ends([0, 10, 40], now=60, completed=[(12, "tool", "success")]) == [12, None]


@given(st.lists(st.integers(0, 2000), min_size=1, unique=True), st.integers(0, 2000))
def test_an_import_on_the_way_finds_the_ends_that_a_later_one_finds(
    times: list[int], until: int
) -> None:
    """What was published of a pause stays true when the session goes on."""
    seen_then = [at for at in times if at <= until]
    if not seen_then:
        return
    then = [each for each in ends(seen_then, now=until) if each is not None]
    after = ends(times, now=max(times) + 1)
    going_on = min((at for at in times if at > until), default=None)
    if going_on is not None:
        assert set(then) <= set(after)
