"""Where the log ends, looked at beside other work, which a Kafka that is down must not hold up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from runfold.deploy.log_lag import log_bounds
from runfold.schemas.errors import BrokerUnavailable

_EVERY_SECONDS = 15.0

LogEnds = Callable[[], Mapping[str, Mapping[int, int]]]


@contextmanager
def watched_log_ends(bootstrap: str, topic: str) -> Iterator[LogEnds]:
    """Give what tells, for the topic, the next offset of each partition as it was seen last.

    Shape: nothing while Kafka does not answer.
    """
    stop = threading.Event()
    seen: dict[str, Mapping[int, int]] = {}

    def watch() -> None:
        while not stop.is_set():
            try:
                seen[topic] = asyncio.run(log_bounds(bootstrap, topic)).next_offsets
            except BrokerUnavailable:
                seen.clear()
            stop.wait(_EVERY_SECONDS)

    threading.Thread(target=watch, name="log-ends", daemon=True).start()
    try:
        yield lambda: dict(seen)
    finally:
        stop.set()
