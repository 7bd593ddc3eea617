"""Serving the application at several addresses until told to stop, then draining."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from types import FrameType
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI

from runfold.producers.collector.collector import Collector
from runfold.producers.collector.connections import ConnectionLimits, protocol_within
from runfold.producers.collector.health_port import HealthPort
from runfold.producers.collector.tls import Certificate
from runfold.schemas.errors import ConfigurationError

_BACKLOG = 1024
_HANDSHAKE_SECONDS = 10.0
_TICKS_A_LOOK = 50
"""A tick of uvicorn is a tenth of a second; a certificate's files are looked at every five."""


class Address(NamedTuple):
    """Where to listen; port 0 stands for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, setting: str) -> Address:
        """Return the address that HOST:PORT names. Raises: ConfigurationError."""
        host, _, port = text.rpartition(":")
        if not (host and port.isdecimal() and int(port) < 1 << 16):
            raise ConfigurationError(f"{setting}: {text!r} is not HOST:PORT")
        return cls(host.strip("[]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it: a name is where all it stands for is."""
        if self.host == "":
            return False
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return all(ip_address(str(each[4][0])).is_loopback for each in found)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how to serve.

    Shape: `health` is the port of the OpenTelemetry Collector's health check, always without TLS.
    Units: `drain` is the longest time that requests which were begun may take to end.
    """

    addresses: Sequence[Address]
    health: Address | None = None
    certificate: Certificate | None = None
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    drain: timedelta = timedelta(seconds=25)


class Listening(NamedTuple):
    """Where somebody listens now."""

    addresses: list[Address]
    health: Address | None


async def serve(
    app: FastAPI,
    collector: Collector,
    serving: Serving,
    *,
    on_listening: Callable[[Listening], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was begun, and return. A second one kills.

    Raises: ConfigurationError where nobody can listen at an address.
    """
    with _sparing_the_garbage_collector(), ExitStack() as closing:
        sockets = [closing.enter_context(listen(each)) for each in serving.addresses]
        door = None if serving.health is None else closing.enter_context(listen(serving.health))
        health_port = HealthPort(app, collector)
        health = None if door is None else _address_of(door)
        health_port.port = None if health is None else health.port
        config = uvicorn.Config(
            health_port,
            http=protocol_within(serving.limits),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=round(serving.drain.total_seconds()),
        )
        listening = Listening([_address_of(each) for each in sockets], health)
        server = _Server(
            config, collector, serving.certificate, door, lambda: on_listening(listening)
        )
        await server.serve(sockets=sockets)


@contextmanager
def _sparing_the_garbage_collector() -> Iterator[None]:
    """Look for reference cycles rarely: there are few, and many objects that stay.

    What stayed frozen would be there at the exit, where libraries complain of it.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def listen(address: Address) -> socket.socket:
    """Return a socket that listens there. Raises: ConfigurationError."""
    try:
        family, _, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Named TCP, or asyncio leaves Nagle's algorithm on, and answers wait 40 ms for an ACK.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ConfigurationError(f"cannot listen at {address}: {error}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigurationError(f"cannot listen at {address}: {error}") from error
    return listening


def _address_of(listening: socket.socket) -> Address:
    return Address(*listening.getsockname()[:2])


class _Server(uvicorn.Server):
    """uvicorn's server, which ends well: with exit code 0, and telling that it ends.

    The door to the health check stays open until all else has ended, and has no TLS.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        collector: Collector,
        certificate: Certificate | None,
        door: socket.socket | None,
        on_started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._collector = collector
        self._certificate = certificate
        self._door = door

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(1)
        tls = None if self._certificate is None else self._certificate.context
        handshake = None if tls is None else _HANDSHAKE_SECONDS
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=each,
                backlog=_BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=handshake,
            )
            for each in sockets or []
        ]
        if self._door is not None:
            self._health = await loop.create_server(self._protocol, sock=self._door)
        self.started = True
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        if self._certificate is not None and counter % _TICKS_A_LOOK == 0:
            self._certificate.refresh()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._collector.draining.begun = True
        await super().shutdown(sockets)
        if self._door is not None:
            self._health.close()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self.handle_exit) for each in _STOPS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        if self.should_exit:  # asked a second time: end at once
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = True

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


_STOPS = (signal.SIGTERM, signal.SIGINT)
