"""What the collector does with connections that are slow, large or many, and how it drains."""

from __future__ import annotations

import asyncio
import gc
import gzip
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from runfold.producers.collector.app import build_app
from runfold.producers.collector.bodies import BodyLimits, BodyRoom
from runfold.producers.collector.collector import Collector, CollectorSettings
from runfold.producers.collector.connections import ConnectionLimits
from runfold.producers.collector.log_writer import LogWriter, Placed
from runfold.producers.collector.records import Record
from runfold.producers.collector.server import Address, Listening, Serving, serve

LINE = b'{"event_id":"a","run_id":"r","event_type":"run.started","occurred_at":1}'
QUICK = timedelta(seconds=0.3)
LONG = timedelta(seconds=60)
Talk = Callable[[bytes], Awaitable[bytes]]


class HeldLog(LogWriter):
    """Acknowledges when `open` is set."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, records: Sequence[Record]) -> list[Placed]:
        await self.open.wait()
        return [Placed(0, at) for at, _ in enumerate(records)]


@asynccontextmanager
async def served(
    collector: Collector, limits: ConnectionLimits, drain: timedelta = LONG
) -> AsyncIterator[tuple[Address, asyncio.Task[None]]]:
    """Serve on a free port for the time of a `with` block, then drain."""
    listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    serving = Serving([Address("127.0.0.1", 0)], limits=limits, drain=drain)
    task = asyncio.create_task(
        serve(build_app(collector), collector, serving, on_listening=listening.set_result)
    )
    address = (await listening).addresses[0]
    yield address, task
    if not collector.draining.begun:
        signal.raise_signal(signal.SIGTERM)
    await task


def head(length: int, *headers: str) -> bytes:
    lines = "".join(f"{each}\r\n" for each in headers)
    return (
        f"POST /api/v1/events HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n{lines}\r\n"
    ).encode()


async def said(address: Address, *parts: bytes) -> bytes:
    """Send `parts` over one connection and return all that is answered until it is closed."""
    reader, writer = await asyncio.open_connection(*address)
    for part in parts:
        writer.write(part)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(maxsplit=2)[1])


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"POST /api/v1/events HTTP/1.1\r\nhost: he", 408),
        (head(100) + b"{", 408),
        ((b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 2000)[:1001], 431),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ],
    ids=["half a head", "half a body", "an endless head", "no HTTP"],
)
def test_who_sends_too_slowly_or_too_much_is_told_and_cut_off(begun: bytes, status: int) -> None:
    async def main() -> None:
        how = CollectorSettings(body=BodyLimits(within=QUICK))
        limits = ConnectionLimits(head_bytes=1000, head_within=QUICK, body_within=LONG)
        async with served(Collector(HeldLog(), how), limits) as (address, _):
            assert status_of(await said(address, begun)) == status

    asyncio.run(main())


def test_a_connection_on_which_nothing_is_said_or_a_body_never_ends_is_closed() -> None:
    async def main() -> None:
        limits = ConnectionLimits(head_within=QUICK, body_within=QUICK)
        async with served(Collector(HeldLog()), limits) as (address, _):
            assert await said(address) == b""
            get = b"GET /healthz HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\nhalf"
            assert status_of(await said(address, get)) == 200

    asyncio.run(main())


def test_more_connections_than_are_served_are_told_to_come_back() -> None:
    async def main() -> None:
        async with served(Collector(HeldLog()), ConnectionLimits(most=2)) as (address, _):
            held = [await asyncio.open_connection(*address) for _ in range(2)]
            answer = await said(address)
            assert status_of(answer) == 503
            assert b"retry-after: 1" in answer
            for _, writer in held:
                writer.close()
                await writer.wait_closed()

    asyncio.run(main())


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"0" * 100_000_000)

    async def main() -> None:
        collector = Collector(HeldLog())
        async with served(collector, ConnectionLimits()) as (address, _):
            sent = head(len(bomb), "content-encoding: gzip", "connection: close") + bomb
            assert status_of(await said(address, sent)) == 413
            assert collector.room.held_bytes == 0

    asyncio.run(main())


def test_a_body_that_does_not_say_how_long_it_is_has_the_same_limit() -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(LINE), LINE) for _ in range(3)) + b"0\r\n\r\n"
    begun = b"POST /api/v1/events HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n"

    async def main() -> None:
        for most, status in ((len(LINE) * 3, 200), (len(LINE) * 3 - 1, 413)):
            settings = CollectorSettings(body=BodyLimits(packed_bytes=most))
            async with served(Collector(HeldLog(), settings), ConnectionLimits()) as (address, _):
                answer = await said(address, begun + b"connection: close\r\n\r\n" + chunks)
                assert status_of(answer) == status

    asyncio.run(main())


def test_a_packed_body_that_is_torn_is_refused_whole() -> None:
    packed = gzip.compress(LINE) + gzip.compress(LINE)

    async def main() -> None:
        async with served(Collector(HeldLog()), ConnectionLimits()) as (address, _):
            for body, status in ((packed, 200), (packed[:-5], 400), (packed + b"x", 400)):
                sent = head(len(body), "content-encoding: gzip", "connection: close") + body
                assert status_of(await said(address, sent)) == status

    asyncio.run(main())


def test_the_bodies_of_all_requests_share_one_memory() -> None:
    async def main() -> None:
        log = HeldLog()
        log.open.clear()
        collector = Collector(log, room=BodyRoom(len(LINE) + 10))
        async with served(collector, ConnectionLimits()) as (address, _):
            request = head(len(LINE), "connection: close") + LINE
            first = asyncio.create_task(said(address, request))
            while not collector.room.held_bytes:
                await asyncio.sleep(0)
            answer = await said(address, request)
            assert status_of(answer) == 503
            assert b"retry-after: 1" in answer.lower()
            log.open.set()
            assert status_of(await first) == 200
            assert collector.room.held_bytes == 0

    asyncio.run(main())


def test_the_garbage_collector_is_as_it_was_when_all_is_over() -> None:
    async def main() -> None:
        async with served(Collector(HeldLog()), ConnectionLimits()):
            assert gc.get_freeze_count() > before[1]

    before = gc.get_threshold(), gc.get_freeze_count()
    asyncio.run(main())
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_what_does_not_end_while_it_drains_is_told_to_come_back() -> None:
    async def main() -> None:
        log = HeldLog()
        collector = Collector(log)
        async with served(collector, ConnectionLimits(), drain=timedelta(seconds=1)) as (at, task):
            log.open.clear()
            waiting = asyncio.create_task(said(at, head(len(LINE)) + LINE))
            while not collector.room.held_bytes:
                await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            answer = await waiting
            assert status_of(answer) == 503
            assert b"retry-after: 1" in answer.lower()
            await task

    asyncio.run(main())
