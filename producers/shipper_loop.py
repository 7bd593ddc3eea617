"""The event loop of the shipper's thread."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from runfold.producers.debug import explain
from runfold.producers.quiet import quieten_this_thread


class _ShipperLoop(asyncio.SelectorEventLoop):
    """A loop that looks up names in its own thread.

    The usual one asks a pool of threads, which refuses work once the interpreter begins to exit:
    the time in which a short script's events are to be shipped.
    """

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new loop for the calling thread, and keep this thread's noise out of the log."""
    import aiokafka  # noqa: F401  its loggers exist from here on

    quieten_this_thread("aiokafka", "asyncio")
    loop = _ShipperLoop()
    loop.set_exception_handler(_explain)
    return loop


def _explain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    explain(f"in the shipper: {context.get('message')}", context.get("exception"))
