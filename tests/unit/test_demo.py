"""The made-up fleet."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from runfold.producers.demo import DemoRecord, FleetCounts, generate_fleet, generate_live
from runfold.schemas.codec.columns import decode_event_batch
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.event_ids import EventIdSet, split_minted_id
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


def fleet(seed: int = 1, runs: int = 300) -> list[DemoRecord]:
    return list(generate_fleet(seed, NOW, runs))


def counted(records: list[DemoRecord]) -> FleetCounts:
    counts = FleetCounts()
    for each in records:
        counts.add(each.event) if each.event else counts.add_bad()
    return counts


def test_the_same_seed_and_time_give_the_same_records() -> None:
    assert fleet(7, 40) == fleet(7, 40)
    assert fleet(7, 40) != fleet(8, 40)


def test_the_default_fleet_shows_everything() -> None:
    counts = counted(fleet())
    assert 15_000 < counts.events < 30_000
    assert set(counts.runs_by_status) == {
        "success", "failure", "timeout", "cancelled", "partial", "running",
    }  # fmt: skip
    assert 0.01 < counts.duplicates / counts.events < 0.03
    assert counts.bad_records == 8


def test_all_of_it_has_happened() -> None:
    for record in fleet(runs=60):
        assert record.at_us <= NOW.timestamp() * 1e6
        assert record.event is None or record.event["occurred_at"] <= record.at_us


def test_ids_are_minted_without_holes_but_for_one_run() -> None:
    seen: dict[str, EventIdSet] = {}
    for record in fleet():
        if record.event:
            assert split_minted_id(record.event["event_id"]) is not None
            seen.setdefault(record.event["run_id"], EventIdSet()).add(record.event["event_id"])
    holes = [
        piece for each in seen.values() for pieces in each.missing().values() for piece in pieces
    ]
    assert [piece.last - piece.first + 1 for piece in holes] == [17]
    producers = Counter(producer for each in seen.values() for producer in each.ranges)
    assert set(producers.values()) == {1}


def test_a_sub_agent_starts_after_its_parent_and_names_it() -> None:
    started: dict[str, int] = {}
    children = 0
    for record in fleet(runs=80):
        event = record.event
        if event and event["event_type"] == "run.started":
            started.setdefault(event["run_id"], event["occurred_at"])
            if "parent_run_id" in event:
                children += 1
                assert started[event["parent_run_id"]] < event["occurred_at"]
    assert children > 10


def test_each_bad_record_is_refused_for_its_reason() -> None:
    bad = [each.bad for each in fleet(runs=5) if each.bad]
    batch = RecordBatch(
        LogPartition("t", 0),
        0,
        list(range(len(bad))),
        [0] * len(bad),
        [each.key for each in bad],
        [each.value for each in bad],
    )
    decoded = decode_event_batch(batch)
    assert [each.reason for each in decoded.rejected] == [each.reason for each in bad]


def test_every_event_can_be_encoded() -> None:
    encode = SparseEncoder(latest("event"))
    assert all(encode(each.event) for each in fleet(runs=60) if each.event)


def test_live_goes_on_where_the_history_ends() -> None:
    live = list(islice(generate_live(1, NOW, 60), 3000))
    assert all(each.at_us > NOW.timestamp() * 1e6 for each in live)
    assert [each.at_us for each in live] == sorted(each.at_us for each in live)
    before = {each.event["event_id"] for each in fleet(runs=60) if each.event}
    started = {each.event["run_id"] for each in fleet(runs=60) if each.event}
    new = [each.event for each in live if each.event]
    assert any(each["run_id"] in started for each in new)
    assert any(each["run_id"] not in started for each in new)
    fresh = {each["event_id"] for each in new if each["occurred_at"] > NOW.timestamp() * 1e6}
    assert not fresh & before


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        next(generate_fleet(1, datetime(2026, 1, 1) + timedelta(0)))
