"""Serving the application at several addresses until told to stop, then draining."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI

from runfold.schemas.errors import ConfigurationError

_BACKLOG = 1024


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

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def serve(
    app: FastAPI,
    addresses: Sequence[Address],
    *,
    drain: timedelta = timedelta(seconds=15),
    on_listening: Callable[[list[Address]], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was begun, within `drain`.

    Raises: ConfigurationError where nobody can listen at an address.
    """
    with ExitStack() as closing:
        sockets = [closing.enter_context(_listening(each)) for each in addresses]
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=round(drain.total_seconds()),
        )
        on_listening([Address(*each.getsockname()[:2]) for each in sockets])
        await uvicorn.Server(config).serve(sockets=sockets)


def _listening(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigurationError(f"cannot listen at {address}: {error}") from error
    return listening
