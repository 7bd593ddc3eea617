"""The worker's HTTP: `/healthz`, `/readyz` and `/metrics`, in a thread beside the worker's loop.

The thread answers from the start on, also while the worker waits for Kafka or folds a long batch.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.processors.monitor import WorkerMonitor

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


@contextmanager
def serving_worker(listen: str, monitor: WorkerMonitor) -> Iterator[str]:
    """Answer HTTP at `listen`, HOST:PORT, for the time of a `with` block; give the address.

    Shape: port 0 stands for a free one.
    Raises: ConfigurationError where nobody can listen there.
    """
    host, port = _parse(listen)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(_app(monitor), access_log=None)
    with ExitStack() as closing:
        closing.callback(loop.close)
        closing.callback(lambda: loop.run_until_complete(runner.cleanup()))
        loop.run_until_complete(runner.setup())
        try:
            loop.run_until_complete(web.TCPSite(runner, host.strip("[]"), port).start())
        except OSError as error:
            raise ConfigurationError(f"worker_listen: cannot listen there: {error}") from error
        thread = threading.Thread(target=loop.run_forever, name="worker-http", daemon=True)
        thread.start()
        closing.callback(thread.join)
        closing.callback(loop.call_soon_threadsafe, loop.stop)
        yield f"{host}:{runner.addresses[0][1]}"


def _parse(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise ConfigurationError(f"worker_listen: {listen!r} is not HOST:PORT")
    return host, int(port)


def _app(monitor: WorkerMonitor) -> web.Application:
    async def healthz(request: web.Request) -> web.Response:
        del request
        return web.json_response({"pid": os.getpid()})

    async def readyz(request: web.Request) -> web.Response:
        del request
        said = monitor.readiness()
        return web.json_response(said, status=200 if said["ready"] else 503)

    async def metrics(request: web.Request) -> web.Response:
        del request
        return web.Response(body=monitor.metrics.render(), headers={"Content-Type": _TEXT_FORMAT})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
