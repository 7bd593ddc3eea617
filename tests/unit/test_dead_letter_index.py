"""What the dead-letter topic says, record by record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.deploy.cli.dlq.selection import Selection, letter_of, read_key
from runfold.processors.dead_letter_index import DeadLetterIndex
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.kept_letter import (
    KeptLetter,
    LetterState,
    RecordPlace,
    Resolution,
    read_letter,
    read_mark,
    write_letter,
    write_mark,
)

PLACE = RecordPlace("some/events", "an-id", 3, 1200)
LETTER = KeptLetter(
    PLACE, 10**15, "not_avro", "why", b"run-1", b"\x00\xff", (("h", b"1"), ("h", None))
)
AT = datetime(2026, 11, 21, 7, tzinfo=UTC)
FIXED = Resolution(LetterState.FIXED, AT, "event-1", "python: event | {'ü': 1}")


@given(
    st.builds(
        KeptLetter,
        st.builds(RecordPlace, st.text(), st.text(), st.integers(0, 9), st.integers(0, 2**62)),
        st.integers(0, 2**62),
        st.text(),
        st.text(),
        st.none() | st.binary(),
        st.none() | st.binary(),
        st.lists(st.tuples(st.text(), st.none() | st.binary())).map(tuple),
    )
)
def test_a_letter_comes_back_as_it_was_kept(letter: KeptLetter) -> None:
    assert read_letter(write_letter(letter)) == letter


@pytest.mark.parametrize("resolution", [FIXED, Resolution(LetterState.REDRIVEN, AT, "e")])
def test_a_mark_comes_back_as_it_was_written(resolution: Resolution) -> None:
    assert read_mark(PLACE.key.encode(), write_mark(PLACE, resolution)) == (PLACE, resolution)


def test_a_letter_that_was_sent_twice_counts_once_and_stays_resolved() -> None:
    index = DeadLetterIndex()
    index.add_letter((0, 0), write_letter(LETTER))
    index.add_mark((0, 1), PLACE.key.encode(), write_mark(PLACE, FIXED))
    index.add_letter((0, 2), write_letter(LETTER))
    [entry] = index.entries()
    assert (entry.kept_at, entry.state, entry.run_id) == ((0, 0), LetterState.FIXED, "run-1")
    assert entry.resolutions == (FIXED,)
    assert (entry.value_bytes, entry.recorded_at.year) == (2, 2001)


def test_a_topic_made_anew_has_letters_of_its_own() -> None:
    index = DeadLetterIndex()
    anew = replace(PLACE, topic_id="another-id")
    index.add_letter((0, 0), write_letter(LETTER))
    index.add_letter((0, 1), write_letter(replace(LETTER, place=anew, recorded_at=10**15 + 1)))
    index.add_mark((0, 2), PLACE.key.encode(), write_mark(PLACE, FIXED))
    newest_first = index.entries()
    assert [each.state for each in newest_first] == [LetterState.OPEN, LetterState.FIXED]
    assert letter_of(read_key("3/1200", "some/events"), newest_first).place == anew


def test_what_is_neither_letter_nor_mark_is_told_by_its_place() -> None:
    index = DeadLetterIndex()
    index.add_letter((0, 7), b"junk")
    index.add_mark((0, 8), b"key", write_mark(PLACE, FIXED))
    index.add_mark((0, 9), PLACE.key.encode(), [("runfold.resolved", b"fixed")])
    index.add_mark((0, 10), None, [])
    index.add_letter((0, 11), write_letter(replace(LETTER, recorded_at=2**62)))
    assert index.unreadable == [(0, 7), (0, 8), (0, 9), (0, 10), (0, 11)]
    assert index.entries() == []


@pytest.mark.parametrize("key", ["3/1200", "some/events/3/1200"])
def test_a_letter_is_found_by_its_short_and_by_its_whole_key(key: str) -> None:
    index = DeadLetterIndex()
    index.add_letter((0, 0), write_letter(LETTER))
    assert letter_of(read_key(key, "some/events"), index.entries()).place == PLACE


@pytest.mark.parametrize(
    ("key", "said"),
    [("3/1201", "no dead letter 3/1201"), ("other/3/1200", "3/1200 of other"), ("x", "is no key")],
)
def test_an_unknown_key_is_a_wrong_use(key: str, said: str) -> None:
    index = DeadLetterIndex()
    index.add_letter((0, 0), write_letter(LETTER))
    with pytest.raises(ConfigurationError, match=said):
        letter_of(read_key(key, "some/events"), index.entries())


def test_a_selection_narrows_by_topic_reason_time_and_run() -> None:
    index = DeadLetterIndex()
    others = [
        LETTER,
        replace(LETTER, place=replace(PLACE, topic="other", offset=1)),
        replace(LETTER, place=replace(PLACE, offset=2), reason="bad_time"),
        replace(LETTER, place=replace(PLACE, offset=3), recorded_at=10),
        replace(LETTER, place=replace(PLACE, offset=4), key=None),
    ]
    for number, letter in enumerate(others):
        index.add_letter((0, number), write_letter(letter))
    since = datetime(2001, 1, 1, tzinfo=UTC)
    wanted = Selection("some/events", (), "not_avro", since, "run-1")
    assert [each.place for each in wanted.of(index.entries())] == [PLACE]
    assert len(Selection("some/events").of(index.entries())) == 4
