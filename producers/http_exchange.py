"""One HTTP request and its answer, in the event loop and by the standard library alone.

Threads are no way here: the interpreter starts none any more when it begins to exit, which is
when a short script's events are sent.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from base64 import b64encode
from collections.abc import Mapping
from http.client import parse_headers
from typing import NamedTuple
from urllib.parse import SplitResult, unquote

from runfold.schemas.errors import BrokerUnavailable

_MOST_BYTES = 32 * 1024 * 1024


class Answer(NamedTuple):
    """What a server said. Shape: names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def post(url: SplitResult, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send `body` and return the answer, on a connection of its own.

    Raises: OSError, EOFError, ValueError where what answers speaks no HTTP, and BrokerUnavailable
    (retry) where it says too much.
    """
    secure = url.scheme == "https"
    reader, writer = await asyncio.open_connection(
        url.hostname,
        url.port or (443 if secure else 80),
        ssl=ssl.create_default_context() if secure else None,
    )
    try:
        writer.write(_head(url, len(body), headers) + body)
        await writer.drain()
        return await _answer(reader)
    finally:
        writer.transport.abort()


def _head(url: SplitResult, length: int, headers: Mapping[str, str]) -> bytes:
    host = url.netloc.rpartition("@")[2]
    lines = [
        f"POST {url.path}{'?' + url.query if url.query else ''} HTTP/1.1",
        f"Host: {host}",
        f"Content-Length: {length}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if url.username is not None:
        login = f"{unquote(url.username)}:{unquote(url.password or '')}"
        lines.append(f"Authorization: Basic {b64encode(login.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    status = 100
    while status // 100 == 1:  # "continue" and the like come before the answer
        head = await reader.readuntil(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        version, _, said = first.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise ValueError(f"no HTTP answer: {first[:50]!r}")
        status = int(said[:3])
    headers = {name.lower(): value for name, value in parse_headers(io.BytesIO(rest)).items()}
    return Answer(status, headers, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(_within(int(headers["content-length"])))
    body = await reader.read(_MOST_BYTES + 1)
    while more := await reader.read(_MOST_BYTES + 1):
        body += more
        _within(len(body))
    return body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += await reader.readexactly(_within(len(body) + size) - len(body))
        await reader.readline()
    return body


def _within(size: int) -> int:
    if not 0 <= size <= _MOST_BYTES:
        raise BrokerUnavailable(f"an answer of {size} bytes, {_MOST_BYTES} are allowed")
    return size
