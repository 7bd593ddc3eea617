"""Heartbeats: an open run is heard of while its process lives, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runfold.producers import Client
from runfold.producers.event_line import line_prefix, line_rest
from runfold.producers.heartbeats import Heartbeats, heartbeat_interval
from runfold.producers.journal import JournalLimits
from runfold.producers.journal_folder import segment_path
from runfold.producers.outbox import Outbox, RunLine
from tests.memory_log import MemoryLog, wait_until

QUICK = 0.05


class Watched:
    """An outbox whose runs are watched every 30 s, and what the heartbeats put into it."""

    def __init__(self, root: Path) -> None:
        self.outbox = Outbox(root, broker=None, limits=JournalLimits())
        self.heartbeats = Heartbeats(self.outbox, 30.0)
        self._now = 1000.0

    def open(self, run_id: str) -> RunLine:
        run = RunLine(run_id, f"p-{run_id}", line_prefix(run_id, f"p-{run_id}", None))
        self.heartbeats.opened(run)
        self.say(run, "run.started")
        return run

    def say(self, run: RunLine, event_type: str) -> None:
        self.outbox.put(run, line_rest(event_type, {}))

    def after(self, seconds: float) -> int:
        """Let so much time pass, look every second, and return how many heartbeats came."""
        before = self.outbox.put_count
        for _ in range(round(seconds)):
            self._now += 1
            self.heartbeats.beat(self._now)
        return self.outbox.put_count - before


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path)
    yield one
    one.outbox.close()


def test_a_silent_run_beats_soon_and_then_every_interval(watched: Watched) -> None:
    watched.open("r")
    assert watched.after(4) == 0
    assert watched.after(6) == 1
    assert watched.after(25) == 0
    assert watched.after(10) == 1
    assert watched.after(300) == 10


def test_a_run_that_speaks_needs_only_its_first_heartbeat(watched: Watched) -> None:
    run = watched.open("r")
    beats = 0
    for _ in range(30):
        watched.say(run, "custom")
        beats += watched.after(20)
    assert beats == 1


def test_only_the_silent_ones_of_many_runs_beat(watched: Watched) -> None:
    talking, silent = watched.open("talking"), watched.open("silent")
    watched.after(20)
    for _ in range(6):
        watched.say(talking, "custom")
        watched.after(10)
    assert (talking.sequence, silent.sequence) == (1 + 1 + 6, 1 + 1 + 2)


def test_a_run_that_ended_is_silent_and_one_that_starts_again_is_not(watched: Watched) -> None:
    run = watched.open("r")
    watched.after(60)
    watched.heartbeats.ended(run)
    assert watched.after(300) == 0
    watched.heartbeats.opened(run)
    assert watched.after(60) > 0


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, None), (0, None), (False, None), (5, 5.0), (0.5, 0.5), (30, 30.0), (3600, 30.0),
     (-1, 30.0), (float("nan"), 30.0), ("often", 30.0), ([1], 30.0)],
)  # fmt: skip
def test_an_interval_is_at_most_what_readers_wait_for(given: object, seconds: float | None) -> None:
    assert heartbeat_interval(given) == seconds


Opener = Callable[..., tuple[Client, MemoryLog]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Give a function that opens a client over a log in memory; it is closed by the fixture."""
    clients: list[Client] = []

    def make(**settings: Any) -> tuple[Client, MemoryLog]:
        log = MemoryLog()
        chosen = {"journal_dir": tmp_path, "publisher": log.open, "heartbeat_seconds": QUICK}
        clients.append(Client(**{**chosen, **settings}))
        return clients[-1], log

    yield make
    for client in clients:
        client.close()


def heartbeats(log: MemoryLog, run_id: str) -> int:
    of_run = [each for each in log.events if each["run_id"] == run_id]
    return sum(each["event_type"] == "run.heartbeat" for each in of_run)


def test_an_open_run_of_a_client_is_heard_of_until_it_ends(opened: Opener) -> None:
    client, log = opened(agent="a")
    open_run, ending = client.start_run(), client.start_run()
    wait_until(lambda: heartbeats(log, open_run) > 1 and heartbeats(log, ending) > 1)
    client.end_run(ending)
    said = heartbeats(log, open_run)
    wait_until(lambda: heartbeats(log, open_run) > said + 1)
    last = [each for each in log.events if each["run_id"] == ending][-1]
    assert last["event_type"] == "run.ended"
    assert {each["agent_name"] for each in log.events} == {"a"}
    assert len(log.ids) == len(set(log.ids))


@pytest.mark.parametrize("end", ["run.ended", b"run.ended"])
def test_a_run_that_was_ended_by_an_event_is_silent_too(opened: Opener, end: Any) -> None:
    client, log = opened()
    client.event("r", "run.started")
    wait_until(lambda: heartbeats(log, "r") > 0)
    client.event("r", end)
    other = client.start_run()
    wait_until(lambda: heartbeats(log, other) > 1)
    assert [each["event_type"] for each in log.events if each["run_id"] == "r"][-1] == "run.ended"


def test_a_run_that_is_only_written_to_is_spoken_for_by_whoever_started_it(opened: Opener) -> None:
    client, log = opened()
    client.event("of another process", "custom")
    mine = client.start_run()
    wait_until(lambda: heartbeats(log, mine) > 2)
    assert heartbeats(log, "of another process") == 0


def test_without_an_interval_only_the_agent_says_that_it_is_alive(opened: Opener) -> None:
    client, log = opened(heartbeat_seconds=None)
    with client.run() as run:
        run.heartbeat()
        client.heartbeat(run.run_id)
    assert client.flush()
    kinds = [each["event_type"] for each in log.events]
    assert kinds == ["run.started", "run.heartbeat", "run.heartbeat", "run.ended"]


def test_while_the_log_is_out_of_reach_no_heartbeats_pile_up(opened: Opener) -> None:
    client, log = opened()
    run_id = client.start_run()
    wait_until(lambda: heartbeats(log, run_id) > 0)
    log.down = True
    client.event(run_id, "custom")
    wait_until(lambda: client.counts.recorded > client.counts.shipped)
    folder = client._recorder._outbox.folder
    waiting = segment_path(folder, 1).stat().st_size
    assert not client.flush(timeout=20 * QUICK)
    line = len('{"run_id":"","event_id":"-","event_type":"run.heartbeat","occurred_at":}') + 100
    assert segment_path(folder, 1).stat().st_size <= waiting + line
    log.down = False
    said = heartbeats(log, run_id)
    wait_until(lambda: heartbeats(log, run_id) > said + 2)


def test_a_client_that_is_closed_falls_silent(opened: Opener) -> None:
    client, log = opened()
    run_id = client.start_run()
    wait_until(lambda: heartbeats(log, run_id) > 0)
    client.close()
    before = len(log.events)
    again = client.start_run()
    wait_until(lambda: heartbeats(log, again) > 2)
    assert {each["run_id"] for each in log.events[before:]} == {again}


def test_a_forked_child_speaks_for_its_own_runs_and_the_parent_goes_on(opened: Opener) -> None:
    client, log = opened()
    run_id = client.start_run()
    wait_until(lambda: heartbeats(log, run_id) > 0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            log.events.clear()
            own = client.start_run()
            wait_until(lambda: heartbeats(log, own) > 2)
            os.write(writing, b"%d" % heartbeats(log, run_id))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 9) == b"0"
    said = heartbeats(log, run_id)
    wait_until(lambda: heartbeats(log, run_id) > said)


def test_a_script_that_forgets_to_end_its_run_still_ends(tmp_path: Path) -> None:
    script = """
import sys
from runfold.producers import Client
from tests.memory_log import MemoryLog, wait_until
log = MemoryLog()
client = Client(journal_dir=sys.argv[1], publisher=log.open, heartbeat_seconds=0.05)
client.start_run()
wait_until(lambda: len(log.events) > 2)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
