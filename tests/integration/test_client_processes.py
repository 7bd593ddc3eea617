"""The client in every kind of process that agents run in: nothing lost, nothing twice.

Each of them posts to a collector of the test's own, or leaves a journal that is shipped to it.
"""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runfold.producers import Client
from runfold.producers.http_publisher import HttpPublisher
from runfold.producers.journal_folder import journals_below
from runfold.producers.orphans import ship_orphans
from runfold.schemas.event_ids import EventIdSet
from tests.collectors import Collector, collecting
from tests.memory_log import wait_until


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


def _client(collector: Collector, root: Path) -> Client:
    return Client(endpoint=collector.url, journal_dir=root, heartbeat_seconds=None)


async def _ship_rest(collector: Collector, root: Path) -> None:
    async with HttpPublisher(collector.url) as publisher:
        await ship_orphans(root, publisher)


def _assert_whole(collector: Collector, count: int) -> None:
    """Assert that so many events arrived, numbered without holes, however often each was sent."""
    ids = EventIdSet()
    arrived = {each["event_id"]: each for each in collector.events}
    for each in arrived:
        ids.add(each)
    assert len(arrived) == count
    assert all(bounds[0] == 1 and len(bounds) == 2 for bounds in ids.ranges.values())


def _work(client: Client, run_id: str, number: int) -> int:
    for _ in range(10):
        client.event(run_id, "custom", name=f"worker {number}")
    return os.getpid()


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
async def test_the_processes_of_multiprocessing_each_record_on_their_own(
    collector: Collector, tmp_path: Path, method: str
) -> None:
    client = _client(collector, tmp_path)
    run_id = client.start_run()
    context: Any = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        pids = pool.starmap(_work, [(client, run_id, n) for n in range(6)], chunksize=1)
        pool.close()
        pool.join()
    assert os.getpid() not in pids
    client.end_run(run_id)
    client.close(20)
    await _ship_rest(collector, tmp_path)
    _assert_whole(collector, 62)
    assert {each["run_id"] for each in collector.events} == {run_id}
    assert journals_below(tmp_path) == []


def test_a_client_that_is_copied_or_pickled_is_one_of_the_same_kind(
    collector: Collector, tmp_path: Path
) -> None:
    client = Client(endpoint=collector.url, journal_dir=tmp_path, agent="a", project="p")
    for twin in (copy.deepcopy(client), pickle.loads(pickle.dumps(client))):
        twin.start_run()
        assert twin.flush(20)
        assert (collector.events[-1]["agent_name"], collector.events[-1]["project"]) == ("a", "p")
        twin.close()


def test_one_client_serves_one_event_loop_after_another(
    collector: Collector, tmp_path: Path
) -> None:
    client = _client(collector, tmp_path)

    async def work(name: str) -> None:
        async with client.run(name) as run, run.tool("t"):
            await asyncio.sleep(0)
        assert await asyncio.to_thread(client.flush, 20)

    for name in ("first", "second"):
        asyncio.run(work(name))
    client.close()
    _assert_whole(collector, 8)


_APP = """
import os
from runfold.producers import Client

client = Client(heartbeat_seconds=None)  # made before gunicorn forks
with client.run("preload"):
    client.event("custom", name="in the master")
assert client.flush(20)  # so there is a thread that the workers do not inherit


def app(environ, start_response):
    with client.run("request") as run:
        run.event("custom", name=str(os.getpid()))
    start_response("200 OK", [])
    return [b"done"]
"""


async def test_gunicorn_may_load_the_agent_before_it_forks(
    collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "agent_app.py").write_text(_APP)
    journals = tmp_path / "journal"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind",
               "127.0.0.1:0", "--no-control-socket", "agent_app:app"]  # fmt: skip
    environment = {
        **os.environ,
        "RUNFOLD_ENDPOINT": collector.url,
        "RUNFOLD_JOURNAL": str(journals),
    }
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        url = ""
        for line in server.stderr:
            if "Listening at: " in line:
                url = line.split("Listening at: ")[1].split(" ")[0]
                break
        for _ in range(20):
            assert await asyncio.to_thread(_get, url) == b"done"
        wait_until(lambda: len(collector.events) >= 63)
        server.send_signal(signal.SIGTERM)
        server.communicate()
    await _ship_rest(collector, journals)
    _assert_whole(collector, 63)
    assert journals_below(journals) == []


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        content: bytes = answer.read()
    return content


_DISK = """
import resource, signal, sys
from pathlib import Path
from runfold.producers import Client
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
client = Client(journal_dir=sys.argv[1], endpoint=sys.argv[2], heartbeat_seconds=None)
run_id = client.start_run()
assert client.flush(20)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # from here on the disk is full
for n in range(200):
    client.event(run_id, "custom", name="n" * 100)
assert client.counts.failed == client.counts.dropped == 0
client.end_run(run_id)
assert client.flush(20)
"""


async def test_a_disk_that_is_full_delays_and_loses_nothing(
    collector: Collector, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _DISK, str(tmp_path), collector.url]
    subprocess.run(command, check=True, timeout=60)
    await _ship_rest(collector, tmp_path)
    _assert_whole(collector, 202)
