"""OTLP over gRPC, in the collector's own process and event loop.

Source: OTLP/gRPC of the OpenTelemetry protocol specification 1.x: what may be sent again is
answered UNAVAILABLE or RESOURCE_EXHAUSTED with a RetryInfo.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import unquote

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from runfold.producers.collector.access import Caller, KeyRefused, Scope
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.connections import ConnectionLimits, make_room_for
from runfold.producers.collector.otlp.answers import accepted, code_of
from runfold.producers.collector.otlp.intake import take
from runfold.producers.collector.otlp.items import Signal
from runfold.producers.collector.otlp.translation import Request
from runfold.producers.collector.problems import TRY_AGAIN_AFTER, Problem, busy
from runfold.producers.collector.server import Address
from runfold.producers.collector.tls import Certificate
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError

_API = "otlp-grpc"
_DETAILS = "grpc-status-details-bin"
_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_AT_ONCE = 256
"""So many requests are read and answered at once, over all connections."""
_AT_ONCE_OF_ONE = 100
_HANDSHAKE_WITHIN = timedelta(seconds=10)
_IDLE = timedelta(minutes=5)
"""After so long in silence a connection is closed; its client opens another when it needs one."""
_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


class OtlpGrpc:
    """Serves OTLP over gRPC while its context lasts; then what was begun is finished.

    Shape: `address` is where it listens. Units: `drain` is the longest time to finish in.
    Raises: ConfigurationError where nobody can listen there.
    """

    def __init__(
        self,
        collector: Collector,
        address: Address,
        certificate: Certificate | None = None,
        *,
        limits: ConnectionLimits | None = None,
        drain: timedelta = timedelta(seconds=15),
    ) -> None:
        self._collector = collector
        self._drain = drain
        self._begun = 0
        connections = make_room_for(limits or ConnectionLimits()).most_over_grpc
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", collector.settings.body.unpacked_bytes),
                ("grpc.max_allowed_incoming_connections", connections),
                ("grpc.max_concurrent_streams", _AT_ONCE_OF_ONE),
                ("grpc.server_handshake_timeout_ms", _milliseconds(_HANDSHAKE_WITHIN)),
                ("grpc.max_connection_idle_ms", _milliseconds(_IDLE)),
                ("grpc.so_reuseport", 0),
            ]
        )
        self._server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service, {"Export": grpc.stream_unary_rpc_method_handler(self._export(signal))}
                )
                for signal, service in _SERVICES.items()
            )
        )
        self.address = address._replace(port=self._listen(address, certificate))

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.stop(self._drain.total_seconds())

    def _listen(self, address: Address, certificate: Certificate | None) -> int:
        try:
            if certificate is None:
                return int(self._server.add_insecure_port(str(address)))
            return int(self._server.add_secure_port(str(address), _shown(certificate)))
        except RuntimeError as error:
            raise ConfigurationError(f"cannot listen at {address}: {error}") from error

    def _export(self, signal: Signal) -> Callable[[AsyncIterator[bytes], Any], Awaitable[bytes]]:
        """Return what answers requests with a signal.

        Shape: it takes a stream, which on the wire is the same where one message comes, so that it
        says itself when a message is read, and how long that may take.
        """

        async def export(messages: AsyncIterator[bytes], context: Any) -> bytes:
            begun, status = time.perf_counter(), 200
            held: dict[str, Any] = {}
            self._begun += 1
            try:
                return await self._take(signal, messages, context, held)
            except Problem as problem:
                status = problem.status
                await _abort(context, problem)
            except BrokerUnavailable as error:
                status = 503
                structlog.get_logger(__name__).warning("log unavailable", error=str(error))
                await _abort(context, busy(error))
            finally:
                self._begun -= 1
                self._collector.room.release(held)
                self._collector.counts.request(_API, status, time.perf_counter() - begun)

        return export

    async def _take(
        self, signal: Signal, messages: AsyncIterator[bytes], context: Any, held: dict[str, Any]
    ) -> bytes:
        if self._begun > _AT_ONCE:
            raise Problem(503, f"at most {_AT_ONCE} requests are taken at once", TRY_AGAIN_AFTER)
        caller = self._admitted(context)
        body = await self._body(messages)
        self._collector.room.hold(held, len(body))
        try:
            outcome = await take(self._collector, caller, Request(signal, body, as_json=False))
        except ValueError as error:
            raise Problem(400, str(error)) from error
        return bytes(accepted(signal, outcome).SerializeToString())

    async def _body(self, messages: AsyncIterator[bytes]) -> bytes:
        within = self._collector.settings.body.within.total_seconds()
        try:
            async with asyncio.timeout(within):
                return await anext(aiter(messages))
        except TimeoutError as error:
            raise Problem(408, f"the body did not arrive within {within:g} s") from error
        except StopAsyncIteration as error:
            raise Problem(400, "there is no body") from error

    def _admitted(self, context: Any) -> Caller:
        try:
            return self._collector.access.admit(_key_of(context), Scope.INGEST, _peer_of(context))
        except KeyRefused as error:
            raise Problem(401 if error.missing else 403, str(error)) from error


def _shown(certificate: Certificate) -> Any:
    """Return the credentials of a server that reads its certificate again when it has changed."""
    last = certificate.pem

    def fetch() -> Any:
        nonlocal last
        if certificate.pem == last:
            return None
        last = certificate.pem
        return grpc.ssl_server_certificate_configuration([last])

    return grpc.dynamic_ssl_server_credentials(
        grpc.ssl_server_certificate_configuration([last]), fetch
    )


def _key_of(context: Any) -> str | None:
    """Return the key that a call presents as `authorization: Bearer` or `x-api-key`."""
    told = dict(context.invocation_metadata() or ())
    words = str(told.get("authorization", "")).split(maxsplit=1)
    if len(words) == 2 and words[0].lower() == "bearer":
        return words[1].strip()
    return told.get("x-api-key") or None


def _peer_of(context: Any) -> str:
    """Return the address of a caller, of `ipv4:127.0.0.1:4711` or `ipv6:%5B::1%5D:4711`."""
    _, _, place = unquote(context.peer()).partition(":")
    return place.rpartition(":")[0].strip("[]")


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


async def _abort(context: Any, problem: Problem) -> NoReturn:
    """End a call with an error. Raises: always."""
    code = code_of(problem)
    status = Status(code=code, message=problem.message)
    if problem.retry_after is not None:
        packed = AnyMessage()
        delay = Duration()
        delay.FromTimedelta(problem.retry_after)
        packed.Pack(RetryInfo(retry_delay=delay))
        status.details.append(packed)
    details = ((_DETAILS, status.SerializeToString()),)
    await context.abort(_GRPC_CODES[code], problem.message, details)
    raise AssertionError("abort returned")
