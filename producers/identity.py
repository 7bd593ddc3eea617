"""Who mints event ids: one token for each start of a process, one producer for each of its runs.

An event id is `<token>.<n>-<sequence>`, see `docs/decisions/0002-event-ids.md`.
"""

from __future__ import annotations

import os
import time
from itertools import count
from random import Random


class ProcessIdentity:
    """Names the producers of one process; a forked child needs an identity of its own.

    Shape: the token is `rf`, 8 hexadecimal digits of the time in seconds and 12 of randomness, so
    tokens sort by start; 10,000 processes that start in one second collide with odds of 1 to
    5,000,000.
    """

    __slots__ = ("_numbers", "_random_bits", "token")

    def __init__(self) -> None:
        self.token = f"rf{int(time.time()) & 0xFFFF_FFFF:08x}{os.urandom(6).hex()}"
        self._numbers = count(1)
        # The `random` module itself may have been seeded by the agent, alike in every process.
        self._random_bits = Random(os.urandom(32)).getrandbits

    def next_producer(self) -> str:
        """Return the name under which the events of one more run are numbered."""
        return f"{self.token}.{next(self._numbers)}"

    def mint_run_id(self) -> str:
        """Return a new run id: 80 random bits, so that its first digits tell runs apart."""
        return f"{self._random_bits(80):020x}"

    def mint_span_id(self) -> str:
        """Return a new span id of W3C Trace Context: 64 random bits."""
        return f"{self._random_bits(64) or 1:016x}"
