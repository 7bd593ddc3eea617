"""A load of HTTP requests that costs little itself: bytes made beforehand, on kept connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_GIVE_UP_SECONDS = 60.0


@dataclass(slots=True)
class Answers:
    """What became of a load. Units: `taken` nanoseconds for each request that was answered 2xx."""

    taken: list[int] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    def milliseconds(self, percent: int) -> float:
        """Return a percentile of the latencies."""
        ascending = sorted(self.taken)
        return ascending[min(len(ascending) - 1, len(ascending) * percent // 100)] / 1e6

    def rate(self) -> float:
        """Return the requests answered 2xx in a second."""
        return len(self.taken) / self.seconds


def request_bytes(path: str, body: bytes, content_type: str) -> bytes:
    """Return one POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    port: int, request_of: Callable[[int], bytes], *, connections: int, seconds: float
) -> Answers:
    """Send `request_of(0)`, `request_of(1)`, … over so many connections for so long."""
    answers = Answers()
    numbers = iter(range(1 << 62))
    began = time.monotonic()
    end = began + seconds

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.monotonic() < end:
                request = request_of(next(numbers))
                before = time.perf_counter_ns()
                writer.write(request)
                async with asyncio.timeout(_GIVE_UP_SECONDS):
                    status = await _status(reader)
                answers.statuses[status] = answers.statuses.get(status, 0) + 1
                if status // 100 == 2:
                    answers.taken.append(time.perf_counter_ns() - before)
        finally:
            writer.close()

    await asyncio.gather(*(one_connection() for _ in range(connections)))
    answers.seconds = time.monotonic() - began
    return answers


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
        elif line.startswith(b"transfer-encoding:"):
            raise SystemExit("the server answers in chunks, which this load does not read")
    if length:
        await reader.readexactly(length)
    return int(head[9:12])
