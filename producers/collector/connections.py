"""Connections within limits: how many there are, and how slowly and how much one may say.

uvicorn bounds none of these: a client that sends a head byte by byte would hold its connection for
ever, and one that sends headers without end would fill the memory.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_FILES_BESIDE = 200
"""Open files that are no connections: Kafka's, the journal's, modules that are read later."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection, and all together, may take.

    Shape: `most` over HTTP, `most_over_grpc` beside them.
    Units: `head_within` from a request's first byte (or the connection's begin) to the end of its
    headers; `body_within` from there to the end of its body, a little more than a body's reader
    allows, so that the reader answers first.
    """

    most: int = 4096
    most_over_grpc: int = 1024
    head_bytes: int = 64 * 1024
    head_within: timedelta = timedelta(seconds=10)
    body_within: timedelta = timedelta(seconds=30)


def make_room_for(limits: ConnectionLimits) -> ConnectionLimits:
    """Ask the system for as many open files as the connections need; return what it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = limits.most + limits.most_over_grpc
    needed = connections + _FILES_BESIDE
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed - _FILES_BESIDE >= connections:
        return limits
    share = max(0, allowed - _FILES_BESIDE) / connections
    return replace(
        limits,
        most=max(1, int(limits.most * share)),
        most_over_grpc=max(1, int(limits.most_over_grpc * share)),
    )


def protocol_within(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP/1.1 protocol, kept within `limits`."""
    most = make_room_for(limits).most

    class LimitedProtocol(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _in_head = True
        _head_bytes = 0
        _completed = False
        """Whether what came last held the end of a request: then it was not all head."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > most:
                self._refuse(503, f"at most {most} connections are served", "retry-after: 1\r\n")
            else:
                self._expect(limits.head_within)

        def connection_lost(self, exc: Exception | None) -> None:
            self._expect(None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            self._completed = False
            super().data_received(data)
            if self._in_head and not self._completed:
                self._head_bytes += len(data)
                if self._head_bytes > limits.head_bytes:
                    self._refuse(431, f"at most {limits.head_bytes} bytes of headers are read")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head = True
            self._head_bytes = 0
            self._expect(limits.head_within)

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._expect(limits.body_within)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_head, self._head_bytes = True, 0
            self._completed = True
            self._expect(None)
            super().on_message_complete()

        def _expect(self, within: timedelta | None) -> None:
            """Wait for what comes next, for so long; None where nothing need come."""
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            if within is not None:
                self._timer = self.loop.call_later(within.total_seconds(), self._too_slow)

        def _too_slow(self) -> None:
            if self._in_head and self._head_bytes:
                seconds = limits.head_within.total_seconds()
                self._refuse(408, f"the headers did not arrive within {seconds:g} s")
            else:
                self.transport.close()

        def _refuse(self, status: int, message: str, headers: str = "") -> None:
            self._expect(None)
            if self.transport.is_closing():
                return
            answer = (
                f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(message)}\r\n"
                f"{headers}connection: close\r\n\r\n{message}"
            )
            self.transport.write(STATUS_LINE[status] + answer.encode())
            self.transport.close()

    return LimitedProtocol
