"""Asks a Kafka who it is: one Metadata request over a plain socket.

A broker accepts connections before it serves, and a port may belong to another program, so only
an answer counts. It is written by hand because it must work with and without an event loop, and
must not log a line for every attempt, as client libraries do.

Source: Kafka protocol guide, Metadata (key 3) version 2, request header version 1.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from datetime import timedelta

_METADATA_V2 = (3, 2)
_CORRELATION_ID = 1
_ANSWER_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BrokerIdentity:
    """What a broker says about its cluster: its id and the addresses (host:port) of its brokers."""

    cluster_id: str
    brokers: tuple[str, ...]


def ask_identity(host: str, port: int, *, timeout: timedelta) -> BrokerIdentity:
    """Ask the broker at this address for its cluster and return its answer.

    Errors: OSError when nobody answers in time or what answers is no Kafka.
    """
    client_id = b"runfold"
    body = struct.pack(">hhih", *_METADATA_V2, _CORRELATION_ID, len(client_id)) + client_id
    body += struct.pack(">i", 0)  # no topics
    with socket.create_connection((host, port), timeout.total_seconds()) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _receive(connection, 4))
        if not 4 <= size <= _ANSWER_MAX_BYTES:
            raise ConnectionError(f"{host}:{port} does not speak Kafka's protocol")
        answer = _receive(connection, size)
    try:
        return _parse(answer)
    except (struct.error, UnicodeDecodeError) as error:
        raise ConnectionError(f"{host}:{port} does not speak Kafka's protocol") from error


def _receive(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionError("the connection was closed before the answer was complete")
        received += part
    return bytes(received)


def _parse(answer: bytes) -> BrokerIdentity:
    correlation_id, count = struct.unpack_from(">ii", answer, 0)
    if correlation_id != _CORRELATION_ID:
        raise ConnectionError("the answer belongs to another request")
    position = 8
    brokers = []
    for _ in range(count):
        position += 4  # node id
        host, position = _string(answer, position)
        (port,) = struct.unpack_from(">i", answer, position)
        _rack, position = _string(answer, position + 4)
        brokers.append(f"{host}:{port}")
    cluster_id, _ = _string(answer, position)
    return BrokerIdentity(cluster_id, tuple(brokers))


def _string(answer: bytes, position: int) -> tuple[str, int]:
    """Return a string, empty for null, and the position after it."""
    (size,) = struct.unpack_from(">h", answer, position)
    if size < 0:
        return "", position + 2
    end = position + 2 + size
    if end > len(answer):
        raise struct.error("string goes beyond the answer")
    return answer[position + 2 : end].decode(), end
