"""From the journal into the log: nothing lost, drops declared, orphans taken over."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from runfold.producers import Client
from runfold.producers.declarations import Declarations
from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_folder import REJECTED, Owner, journals_below, segment_numbers
from runfold.producers.orphans import drop_oldest_orphans, ship_orphans
from runfold.producers.shipping import JournalShipping, ShippedCounts, parse_line
from runfold.schemas.errors import BrokerUnavailable, EventRejected
from runfold.schemas.event_ids import EventIdSet
from tests.memory_log import MemoryLog, MemoryPublisher, wait_until

TOKEN = "rf" + "0" * 20


def _line(n: int, **fields: Any) -> bytes:
    event = {"event_id": f"{TOKEN}.1-{n}", "run_id": "run", "event_type": "custom"}
    return orjson.dumps({**event, "occurred_at": 1_763_000_000_000_000, **fields}) + b"\n"


def _journal(root: Path, limits: JournalLimits | None = None, token: str = TOKEN) -> Journal:
    return Journal(root, Owner(token, os.getpid(), None), limits or JournalLimits())


async def _ship_all(shipping: JournalShipping, log: MemoryLog) -> None:
    while await shipping.ship_some(MemoryPublisher(log)):
        pass
    shipping.reader.close()


def _declared(log: MemoryLog) -> EventIdSet:
    ids = EventIdSet()
    for event in log.events:
        if event.get("name") == "events.dropped":
            attributes = orjson.loads(event["attributes"])
            for first, last in attributes["ranges"]:
                for sequence in range(first, last + 1):
                    ids.add(f"{attributes['producer']}-{sequence}")
    return ids


def _arrived(log: MemoryLog) -> EventIdSet:
    ids = EventIdSet()
    for each in log.ids:
        if each.startswith(TOKEN):
            ids.add(each)
    return ids


@pytest.fixture
def client_of(tmp_path: Path) -> Iterator[Any]:
    clients: list[Client] = []

    def make(log: MemoryLog, **settings: Any) -> Client:
        chosen = {"journal_dir": tmp_path / "journal", "publisher": log.open, "agent": "a",
                  "heartbeat_seconds": None}  # fmt: skip
        clients.append(Client(**{**chosen, **settings}))
        return clients[-1]

    yield make
    for each in clients:
        each.close(timeout=0)


async def test_shipped_events_are_those_that_were_appended(tmp_path: Path) -> None:
    log, journal = MemoryLog(), _journal(tmp_path, JournalLimits(segment_bytes=500))
    for n in range(1, 101):
        journal.append(_line(n, attributes={"n": n}))
    await _ship_all(JournalShipping(journal.folder, ShippedCounts(), live=True), log)
    journal.close()
    assert log.ids == [f"{TOKEN}.1-{n}" for n in range(1, 101)]
    assert [orjson.loads(each["attributes"])["n"] for each in log.events] == list(range(1, 101))


async def test_the_position_stays_until_the_log_has_acknowledged(tmp_path: Path) -> None:
    log, journal = MemoryLog(), _journal(tmp_path)
    journal.append(_line(1))
    log.down = True
    shipping = JournalShipping(journal.folder, ShippedCounts(), live=True)
    with pytest.raises(BrokerUnavailable):
        await _ship_all(shipping, log)
    log.down = False
    await _ship_all(JournalShipping(journal.folder, ShippedCounts(), live=True), log)
    journal.close()
    assert log.ids == [f"{TOKEN}.1-1"]


@pytest.mark.parametrize(
    "bad", [b"no json\n", b"[1]\n", b'{"event_id":"x"}\n', _line(2, input_tokens="many"), b"\n"]
)
async def test_a_line_that_can_never_be_sent_is_kept_aside_and_holds_up_nothing(
    tmp_path: Path, bad: bytes
) -> None:
    log, journal, counts = MemoryLog(), _journal(tmp_path), ShippedCounts()
    for line in (_line(1), bad, _line(3)):
        journal.append(line)
    await _ship_all(JournalShipping(journal.folder, counts, live=True), log)
    journal.close()
    assert {f"{TOKEN}.1-1", f"{TOKEN}.1-3"} <= set(log.ids)
    assert (counts.shipped, counts.rejected) == (2, 1)
    kept = orjson.loads((tmp_path / REJECTED).read_bytes())
    assert kept["line"].encode() == bad.rstrip(b"\n")
    assert kept["reason"] == "bad_body"


async def test_a_rejected_event_is_declared_by_its_id(tmp_path: Path) -> None:
    log, journal = MemoryLog(), _journal(tmp_path)
    journal.append(_line(1, input_tokens="many"))
    await _ship_all(JournalShipping(journal.folder, ShippedCounts(), live=True), log)
    journal.close()
    assert list(_declared(log).ranges) == [f"{TOKEN}.1"]
    (declaration,) = log.events
    assert declaration["run_id"] == "run"
    assert orjson.loads(declaration["attributes"])["reason"] == "rejected"


async def test_what_is_dropped_for_want_of_room_is_declared_and_all_the_rest_arrives(
    tmp_path: Path,
) -> None:
    log, counts = MemoryLog(), ShippedCounts()
    journal = _journal(tmp_path, JournalLimits(segment_bytes=1000, total_bytes=1 << 30))
    for n in range(1, 201):
        journal.append(_line(n))
    shipping = JournalShipping(journal.folder, counts, live=True)
    shipping.drop_oldest(5000)
    await _ship_all(shipping, log)
    journal.close()
    dropped, arrived = _declared(log), _arrived(log)
    assert 0 < len(dropped) < 200
    assert len(dropped) == counts.dropped
    assert {*dropped.ranges} == {f"{TOKEN}.1"}
    assert len(dropped) + len(arrived) == 200
    assert [(r.first, r.last) for r in arrived.missing()[f"{TOKEN}.1"]] == [(1, len(dropped))]


async def test_only_the_part_of_a_segment_that_is_not_shipped_counts_as_dropped(
    tmp_path: Path,
) -> None:
    log, counts = MemoryLog(), ShippedCounts()
    journal = _journal(tmp_path, JournalLimits(segment_bytes=1000, total_bytes=1 << 30))
    for n in range(1, 4):
        journal.append(_line(n))
    shipping = JournalShipping(journal.folder, counts, live=True)
    await shipping.ship_some(MemoryPublisher(log))
    for n in range(4, 21):
        journal.append(_line(n))
    shipping.drop_oldest(0)
    await _ship_all(shipping, log)
    journal.close()
    assert len(_declared(log)) + len(_arrived(log)) == 20
    assert not {1, 2, 3} & {
        n for each in _declared(log).ranges_of(f"{TOKEN}.1") for n in range(each.first, each.last)
    }


def test_drops_outlive_the_process_that_has_not_declared_them(tmp_path: Path) -> None:
    ids = EventIdSet()
    ids.extend(f"{TOKEN}.1", 3, 9)
    Declarations(tmp_path).declare({"run": ids}, reason="journal_full")
    (line,) = Declarations(tmp_path).pending()
    assert orjson.loads(line)["attributes"]["ranges"] == [[3, 9]]


def test_a_drop_that_is_declared_twice_is_one_event(tmp_path: Path) -> None:
    ids = EventIdSet()
    ids.extend(f"{TOKEN}.1", 3, 9)
    declarations = Declarations(tmp_path)
    declarations.declare({"run": ids}, reason="journal_full")
    declarations.declare({"run": ids}, reason="journal_full")
    first, second = (orjson.loads(each)["event_id"] for each in declarations.pending())
    assert first == second


def test_drops_declared_while_others_are_being_sent_are_kept(tmp_path: Path) -> None:
    declarations = Declarations(tmp_path)
    for sequence in (1, 5):
        ids = EventIdSet()
        ids.add(f"{TOKEN}.1-{sequence}")
        declarations.declare({"run": ids}, reason="journal_full")
    declarations.forget(1)
    (line,) = Declarations(tmp_path).pending()
    assert orjson.loads(line)["attributes"]["ranges"] == [[5, 5]]


def test_attributes_become_text_on_the_way() -> None:
    assert parse_line(_line(1, attributes={"a": [1]}))["attributes"] == '{"a":[1]}'
    with pytest.raises(EventRejected):
        parse_line(b"{")


_LEAVING = """
import os, sys
from pathlib import Path
from runfold.producers import Client
from tests.memory_log import MemoryLog
log = MemoryLog()
log.down = True
client = Client(agent="gone", journal_dir=Path(sys.argv[1]), publisher=log.open)
run_id = client.start_run(run_id="run-of-the-dead")
for _ in range(99):
    client.event(run_id, "tool.ended")
os._exit(0)
"""


def _leave_a_journal(root: Path) -> None:
    subprocess.run([sys.executable, "-c", _LEAVING, root], check=True)


def test_the_journal_of_a_dead_process_is_shipped_by_the_next_one(
    tmp_path: Path, client_of: Any
) -> None:
    _leave_a_journal(tmp_path / "journal")
    log = MemoryLog()
    client_of(log).start_run()
    wait_until(lambda: len(log.events) == 101)
    assert len({each["event_id"] for each in log.events}) == 101
    wait_until(lambda: len(journals_below(tmp_path / "journal")) == 1)


def test_a_journal_meant_for_another_broker_is_left_alone(tmp_path: Path, client_of: Any) -> None:
    _leave_a_journal(tmp_path / "journal")
    log = MemoryLog()
    client = client_of(log, broker="elsewhere:9092")
    client.start_run()
    assert client.flush()
    client.close()
    assert len(log.events) == 1
    assert len(journals_below(tmp_path / "journal")) == 1


async def test_ship_orphans_ships_what_is_dead_and_leaves_what_lives(tmp_path: Path) -> None:
    _leave_a_journal(tmp_path)
    _leave_a_journal(tmp_path)
    living = _journal(tmp_path, token="rf" + "f" * 20)
    living.append(_line(1))
    log = MemoryLog()
    counts = await ship_orphans(tmp_path, MemoryPublisher(log))
    assert counts.shipped == len(log.events) == 200
    assert journals_below(tmp_path) == [living.folder]
    living.close()


async def test_two_that_ship_orphans_at_once_ship_each_event_once(tmp_path: Path) -> None:
    for _ in range(4):
        _leave_a_journal(tmp_path)
    log = MemoryLog()
    await asyncio.gather(*(ship_orphans(tmp_path, MemoryPublisher(log)) for _ in range(2)))
    assert len(log.ids) == len(set(log.ids)) == 400
    assert journals_below(tmp_path) == []


async def test_orphans_beyond_the_size_of_all_journals_are_dropped_oldest_first(
    tmp_path: Path,
) -> None:
    limits = JournalLimits(segment_bytes=500, total_bytes=1 << 30)
    for token in ("rf" + "1" * 20, "rf" + "2" * 20):
        journal = _journal(tmp_path, limits, token)
        for n in range(1, 51):
            journal.append(_line(n).replace(TOKEN.encode(), token.encode()))
        journal.close()
    older, newer = journals_below(tmp_path)
    before = segment_numbers(newer)
    drop_oldest_orphans(tmp_path, 10_000, ShippedCounts())
    assert len(segment_numbers(older)) < 10
    assert segment_numbers(newer) == before
    log = MemoryLog()
    await ship_orphans(tmp_path, MemoryPublisher(log))
    assert len(_declared(log)) + sum(each.startswith("rf") for each in log.ids) == 100


def test_an_outage_at_the_start_delays_and_loses_nothing(client_of: Any) -> None:
    log = MemoryLog()
    log.down = True
    client = client_of(log)
    run_id = client.start_run()
    assert not client.flush(timeout=0.1)
    client.end_run(run_id)
    log.down = False
    assert client.flush(timeout=20)
    assert [each["event_type"] for each in log.events] == ["run.started", "run.ended"]


def test_an_event_is_in_the_log_soon_without_a_flush(client_of: Any) -> None:
    log = MemoryLog()
    client_of(log).start_run()
    wait_until(lambda: len(log.events) == 1, seconds=10)
    assert log.events[0]["event_type"] == "run.started"


def test_closing_leaves_in_the_journal_what_could_not_be_shipped(
    tmp_path: Path, client_of: Any
) -> None:
    log = MemoryLog()
    log.down = True
    client = client_of(log)
    client.start_run()
    client.close(timeout=0.1)
    (left,) = journals_below(tmp_path / "journal")
    log.down = False
    asyncio.run(ship_orphans(left.parent, MemoryPublisher(log)))
    assert len(log.events) == 1


def test_closing_leaves_no_folder_behind_where_all_is_shipped(
    tmp_path: Path, client_of: Any
) -> None:
    log = MemoryLog()
    client = client_of(log)
    client.start_run()
    client.close()
    assert len(log.events) == 1
    assert journals_below(tmp_path / "journal") == []


def test_the_folder_of_the_journal_may_vanish(tmp_path: Path, client_of: Any) -> None:
    log = MemoryLog()
    client = client_of(log)
    run_id = client.start_run()
    assert client.flush()
    (folder,) = journals_below(tmp_path / "journal")
    for each in folder.iterdir():
        each.unlink()
    folder.rmdir()

    def is_there_again() -> bool:
        client.event(run_id, "custom", name="into the void, until it is noticed")
        return folder.exists()

    wait_until(is_there_again)
    client.event(run_id, "custom", name="after")
    wait_until(lambda: log.events[-1].get("name") == "after")
