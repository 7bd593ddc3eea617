"""The ledger: where every event of a producer is."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas.event import Event
from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.offsets import OffsetRange, merge_ranges, runs_of, without
from runfold.sinks.audit.accounts import Evidence, account
from runfold.sinks.audit.report import Drop, Facts, Scope
from tests.audits import ALL_RUNS, NOTHING_KNOWN, audited, kinds, log_of
from tests.lakes_of_events import NOON_US, SECOND_US, LakeOfEvents, encoded, event

PRODUCER = "rf00000000000000000001.1"
NUMBERS = st.sets(st.integers(1, 150))


@pytest.fixture
def lake(tmp_path: Path) -> LakeOfEvents:
    """Give an empty lake."""
    return LakeOfEvents(tmp_path / "lake")


def numbered(*numbers: int, run_id: str = "r", producer: str = PRODUCER) -> list[Event]:
    """Return events of a run with these sequence numbers."""
    return [event(run_id, "custom", each, event_id=f"{producer}-{each}") for each in numbers]


def damaged(each: Event, *, keep: int) -> tuple[bytes, bytes]:
    """Return the record of an event that was cut off after so many bytes."""
    return each.run_id.encode(), encoded(each)[:keep]


def waiting(run_id: str, *numbers: int) -> Facts:
    ids = EventIdSet()
    for each in numbers:
        ids.add(f"{PRODUCER}-{each}")
    return replace(NOTHING_KNOWN, waiting={run_id: ids})


def ranges(numbers: set[int]) -> list[OffsetRange]:
    return list(runs_of(sorted(numbers)))


def members(found: list[OffsetRange]) -> set[int]:
    return {number for each in found for number in range(each.first, each.next_offset)}


@given(NUMBERS, NUMBERS)
def test_without_is_the_difference_of_sets_as_the_fewest_ranges(
    ones: set[int], others: set[int]
) -> None:
    left = without(ranges(ones), ranges(others))
    assert members(left) == ones - others
    assert left == merge_ranges(left)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.none() | st.integers(0, 20))
def test_each_number_is_counted_once_in_the_first_place_that_has_it(
    here: set[int],
    expired: set[int],
    dead: set[int],
    dropped: set[int],
    waits: set[int],
    unread: int | None,
) -> None:
    places = map(ranges, (here, expired, dead, dropped, waits))
    found = account("r", PRODUCER, Evidence(*places), unread=unread)
    stored = here | expired
    everything = stored | dead | dropped | waits
    assert found.emitted == max(everything, default=0)
    assert (found.stored, found.expired) == (len(here), len(expired - here))
    assert found.dead_letters == len(dead - stored)
    assert found.declared_dropped == len(dropped - stored - dead)
    assert found.in_journals == len(waits - stored - dead - dropped)
    nowhere = set(range(1, found.emitted + 1)) - everything
    behind = {each for each in nowhere if each > max(stored | dead, default=0)}
    assert found.in_log == (len(behind) if unread is None else min(len(behind), unread))
    assert found.missing == len(nowhere) - found.in_log
    named = {each for first, last in found.nowhere for each in range(first, last + 1)}
    assert named == nowhere - set(sorted(behind)[: found.in_log])


def test_a_ledger_of_what_is_stored_balances(lake: LakeOfEvents) -> None:
    lake.put(*numbered(*range(1, 200)), *numbered(3, 4), event("r", "custom", event_id="foreign"))
    report = audited(lake.root)
    assert report.ok
    assert report.accounts == []
    sums = {name: count for name, count in report.ledger.items() if count}
    assert sums == {"emitted": 199, "stored": 199, "stored_with_foreign_ids": 1, "producers": 1}


def test_missing_numbers_are_named_by_range(lake: LakeOfEvents) -> None:
    lake.put(*numbered(*range(3, 64), 70, 129))
    [finding] = audited(lake.root).findings
    assert finding.kind == "missing_events"
    assert finding.facts["run_id"] == "r"
    assert finding.facts["producer"] == PRODUCER
    assert finding.facts["ranges"] == [[1, 2], [64, 69], [71, 128]]
    assert finding.facts["missing"] == 2 + 6 + 58
    assert "66 of 129" in finding.says
    assert "1-2, 64-69, 71-128" in finding.says


def test_a_dead_letter_that_tells_its_id_is_not_missing(lake: LakeOfEvents) -> None:
    [second] = numbered(2)
    lake.put(*numbered(1, 3))
    lake.put_records([damaged(second, keep=80)])
    report = audited(lake.root)
    assert report.ok
    assert report.ledger["dead_letters"] == 1
    assert (report.accounts[0].emitted, report.accounts[0].stored) == (3, 2)


def test_a_dead_letter_that_was_stored_too_counts_as_stored(lake: LakeOfEvents) -> None:
    lake.put_records([damaged(numbered(1)[0], keep=80)])
    lake.put(*numbered(1, 2))
    report = audited(lake.root)
    assert report.ok
    assert (report.ledger["stored"], report.ledger["dead_letters"]) == (2, 0)


def test_a_dead_letter_under_a_wrong_key_belongs_to_the_run_of_its_producer(
    lake: LakeOfEvents,
) -> None:
    lake.put(*numbered(1, 3))
    lake.put_records([(b"wrong", encoded(numbered(2)[0]))])
    report = audited(lake.root)
    assert report.ok
    assert [(each.run_id, each.dead_letters) for each in report.accounts] == [("r", 1)]


def test_dead_letters_without_an_id_explain_as_many_missing_events(lake: LakeOfEvents) -> None:
    lake.put(*numbered(1, 4))
    lake.put_records([(b"r", b"no event")])
    report = audited(lake.root)
    [finding] = report.findings
    assert (finding.facts["unidentified"], finding.facts["missing"]) == (1, 1)
    assert finding.facts["ranges"] == [[2, 3]]
    lake.put_records([(b"r", b"no event either"), (b"other", b"no event")])
    report = audited(lake.root)
    assert report.ok
    assert (report.ledger["unidentified"], report.ledger["dead_letters_without_id"]) == (2, 3)


def test_a_dead_letter_without_a_key_belongs_to_no_run(lake: LakeOfEvents) -> None:
    lake.put_records([(b"\xff", b"no event")])
    assert audited(lake.root).ledger["dead_letters_of_no_run"] == 1


def declaration(said: Any) -> Event:
    return event("r", "custom", name="events.dropped", attributes=orjson.dumps(said).decode())


def test_what_a_client_declared_as_dropped_is_not_missing(lake: LakeOfEvents) -> None:
    said = {"producer": PRODUCER, "ranges": [[2, 3], [6, 7]], "events": 4, "reason": "journal_full"}
    lake.put(*numbered(1, 4, 5), declaration(said))
    report = audited(lake.root)
    assert report.ok
    assert (report.ledger["emitted"], report.ledger["declared_dropped"]) == (7, 4)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"ranges": [[1, 2]]},
        {"producer": PRODUCER, "ranges": [[3, 2]]},
        {"producer": PRODUCER, "ranges": [1]},
    ],
)
def test_an_event_that_only_looks_like_a_declaration_declares_nothing(
    lake: LakeOfEvents, said: Any
) -> None:
    lake.put(*numbered(1), declaration(said))
    report = audited(lake.root)
    assert report.ok
    assert report.ledger["declared_dropped"] == 0


def test_what_waits_in_a_journal_is_not_missing(lake: LakeOfEvents) -> None:
    lake.put(*numbered(1, 2))
    facts = replace(waiting("r", 3, 4, 6), drops=[Drop("r", PRODUCER, [(5, 5)])])
    report = audited(lake.root, facts)
    assert report.ok
    assert {name: report.ledger[name] for name in ("emitted", "stored", "in_journals")} == {
        "emitted": 6,
        "stored": 2,
        "in_journals": 3,
    }


def test_between_lake_and_journal_an_event_may_be_in_the_log(lake: LakeOfEvents) -> None:
    lake.put(*numbered(1, 2))
    facts = waiting("r", 6)
    assert audited(lake.root, facts).ledger["in_log"] == 3
    behind = replace(facts, log=log_of(0, 4).log)
    [finding] = audited(lake.root, behind).findings
    assert (finding.facts["in_log"], finding.facts["missing"]) == (2, 1)
    [finding] = audited(lake.root, replace(facts, log=log_of(0, 2).log)).findings
    assert finding.facts["ranges"] == [[3, 5]]


def test_one_run_is_audited_by_producer(lake: LakeOfEvents) -> None:
    other = "rf00000000000000000001.2"
    lake.put(*numbered(1, 2), *numbered(1, 3, run_id="s", producer=other))
    report = audited(lake.root, scope=Scope("r"))
    assert report.ok
    assert [asdict(each)["stored"] for each in report.accounts] == [2]
    assert report.checked["runs"] == 1
    assert kinds(audited(lake.root, scope=Scope("s"))) == ["missing_events"]
    assert not audited(lake.root, scope=Scope("nobody")).knows_runs


def test_since_leaves_out_runs_that_were_not_heard_of(lake: LakeOfEvents) -> None:
    lake.put(*numbered(2, run_id="old"), recorded_at_us=NOON_US)
    late = NOON_US + 7200 * SECOND_US
    lake.put(*numbered(3, run_id="new", producer="rf00000000000000000002"), recorded_at_us=late)
    since = datetime.fromtimestamp((late - SECOND_US) / 1e6, UTC)
    [finding] = audited(lake.root, scope=Scope(since=since)).findings
    assert finding.facts["run_id"] == "new"
    assert len(audited(lake.root, scope=ALL_RUNS).findings) == 2
