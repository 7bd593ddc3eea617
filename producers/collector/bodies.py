"""Reading a request's body within limits of size and time, unpacked."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from runfold.producers.collector.problems import Problem

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 47}
_PORTION_BYTES = 1024 * 1024
_HELD = "runfold.body_bytes"


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one request may send. Units: bytes as sent, and unpacked; time for all of it."""

    packed_bytes: int = 16 * 1024 * 1024
    unpacked_bytes: int = 64 * 1024 * 1024
    within: timedelta = timedelta(seconds=20)


class BodyRoom:
    """The memory that the bodies of all requests share, as sent and unpacked."""

    def __init__(self, most_bytes: int = 512 * 1024 * 1024) -> None:
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def hold(self, scope: Scope, size: int) -> None:
        """Take room for a part of a body, until the request ends. Raises: Problem 503."""
        if self.held_bytes and self.held_bytes + size > self._most_bytes:
            raise Problem(503, "too many large requests at once", timedelta(seconds=1))
        self.held_bytes += size
        scope[_HELD] = scope.get(_HELD, 0) + size

    def release(self, scope: Scope) -> None:
        """Give back what a request held, at its end."""
        self.held_bytes -= scope.pop(_HELD, 0)


async def read_body(request: Request, limits: BodyLimits, room: BodyRoom) -> bytes:
    """Return the body, unpacked by its Content-Encoding.

    Raises: Problem 400 (broken), 408 (too slow), 413 (too large), 415 (unknown encoding), 503 (too
    much at once).
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", *_WINDOW_BITS):
        raise Problem(415, f"Content-Encoding {encoding!r} is unknown; gzip and deflate are known")
    body = await _received(request, limits, room)
    if encoding in _WINDOW_BITS:
        hold = partial(room.hold, request.scope)
        return _unpacked(body, encoding, limits.unpacked_bytes, hold)
    return body


async def _received(request: Request, limits: BodyLimits, room: BodyRoom) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limits.packed_bytes:
        raise _too_large(limits.packed_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.within.total_seconds()):
            async for part in request.stream():
                size += len(part)
                if size > limits.packed_bytes:
                    raise _too_large(limits.packed_bytes)
                room.hold(request.scope, len(part))
                parts.append(part)
    except TimeoutError as error:
        seconds = limits.within.total_seconds()
        message = f"the body did not arrive within {seconds:g} s"
        raise Problem(408, message, headers=(("Connection", "close"),)) from error
    except ClientDisconnect as error:
        raise Problem(400, "the connection ended before the body did") from error
    return b"".join(parts)


def _unpacked(body: bytes, encoding: str, most_bytes: int, hold: Callable[[int], None]) -> bytes:
    """Return what `body` unpacks to, gzip members one after another included."""
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest:
            unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
            while rest and not unpacker.eof:
                part = unpacker.decompress(rest, _PORTION_BYTES)
                size += len(part)
                if size > most_bytes:
                    raise _too_large(most_bytes, "unpacked")
                hold(len(part))
                parts.append(part)
                rest = unpacker.unconsumed_tail
            if not unpacker.eof:
                raise zlib.error("it ends in the middle")
            rest = unpacker.unused_data
    except zlib.error as error:
        raise Problem(400, f"the body is no {encoding}: {error}") from error
    return b"".join(parts)


def _too_large(most_bytes: int, how: str = "sent") -> Problem:
    return Problem(413, f"the body is too large: at most {most_bytes} bytes may be {how}")
