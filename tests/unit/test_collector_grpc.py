"""What OTLP over gRPC does with requests that are slow, large or many, and with its certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from runfold.producers.collector.bodies import BodyLimits, BodyRoom
from runfold.producers.collector.collector import Collector, CollectorSettings
from runfold.producers.collector.connections import ConnectionLimits
from runfold.producers.collector.log_writer import LogWriter, Placed
from runfold.producers.collector.otlp import grpc_server
from runfold.producers.collector.otlp.grpc_server import OtlpGrpc
from runfold.producers.collector.records import Record
from runfold.producers.collector.server import Address
from runfold.producers.collector.tls import Certificate
from tests.otlp_requests import span, traces

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HERE = Address("127.0.0.1", 0)
QUICK = timedelta(seconds=0.3)
WAIT_SECONDS = 30


class HeldLog(LogWriter):
    """Acknowledges when `open` is set; `asked` is set when somebody waits."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def append(self, records: Sequence[Record]) -> list[Placed]:
        self.asked.set()
        await self.open.wait()
        return [Placed(0, at) for at, _ in enumerate(records)]


@asynccontextmanager
async def channel_to(serving: OtlpGrpc) -> AsyncIterator[Any]:
    """Give a channel that has a connection of its own."""
    alone = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(str(serving.address), options=alone) as channel:
        yield channel


async def exported(channel: Any, body: bytes) -> bytes:
    return bytes(await channel.unary_unary(EXPORT)(body, timeout=WAIT_SECONDS))


def is_asked_to_come_back(error: grpc.aio.AioRpcError) -> bool:
    told = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    info = RetryInfo()
    details = Status.FromString(told).details
    return bool(details) and details[0].Unpack(info) and info.retry_delay.seconds >= 1


async def test_a_body_that_never_comes_ends_its_request() -> None:
    how = CollectorSettings(body=BodyLimits(within=QUICK))
    async with OtlpGrpc(Collector(HeldLog(), how), HERE) as serving:
        async with channel_to(serving) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.stream_unary(EXPORT)(timeout=WAIT_SECONDS)
            assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "did not arrive within 0.3 s" in refused.value.details()
            nothing = channel.stream_unary(EXPORT)(timeout=WAIT_SECONDS)
            await nothing.done_writing()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await nothing
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_more_connections_than_are_served_are_told_to_come_back() -> None:
    log = HeldLog()
    log.open.set()
    async with OtlpGrpc(Collector(log), HERE, limits=ConnectionLimits(most_over_grpc=1)) as serving:
        async with channel_to(serving) as first, channel_to(serving) as second:
            assert await exported(first, traces(span(1))) == b""
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await exported(second, traces(span(1)))
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert await exported(first, traces(span(1))) == b""


async def test_more_requests_and_bodies_than_fit_are_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, body = HeldLog(), traces(span(1))
    collector = Collector(log, room=BodyRoom(len(body) + 1))
    async with OtlpGrpc(collector, HERE) as serving, channel_to(serving) as channel:
        first = asyncio.create_task(exported(channel, body))
        await log.asked.wait()
        for said in ("too many large requests", "at most 1 requests"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await exported(channel, body)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert said in refused.value.details()
            assert is_asked_to_come_back(refused.value)
            monkeypatch.setattr(grpc_server, "_AT_ONCE", 1)
        log.open.set()
        assert await first == b""
        assert await exported(channel, body) == b""
        assert collector.room.held_bytes == 0


def shown_at(address: Address) -> str:
    """Return the certificate that is shown to a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(address, WAIT_SECONDS) as plain:
        with context.wrap_socket(plain) as secure:
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")


async def test_a_renewed_certificate_is_shown_and_half_of_one_is_not(tmp_path: Path) -> None:
    authority, pem, private = trustme.CA(), tmp_path / "cert.pem", tmp_path / "key.pem"

    def issue() -> tuple[str, bytes]:
        made = authority.issue_cert("127.0.0.1")
        made.cert_chain_pems[0].write_to_path(pem)
        return pem.read_text("ascii"), made.private_key_pem.bytes()

    first, key = issue()
    private.write_bytes(key)
    certificate = Certificate(pem, private)
    async with OtlpGrpc(Collector(HeldLog()), HERE, certificate) as serving:
        assert await asyncio.to_thread(shown_at, serving.address) == first
        second, key = issue()
        certificate.refresh()
        assert await asyncio.to_thread(shown_at, serving.address) == first
        private.write_bytes(key)
        certificate.refresh()
        assert await asyncio.to_thread(shown_at, serving.address) == second
