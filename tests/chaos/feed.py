"""What the chaos runs publish: fleets, with repetitions and damage, through broken brokers."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runfold.producers.demo import generate_fleet
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest

Record = tuple[bytes | None, bytes | None]
_NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def records(seed: int, events: int) -> Iterator[Record]:
    """Yield keys and values: fleets one after another, 2 % repeated, 0.1 % damaged."""
    dice = random.Random(seed)
    encode = SparseEncoder(latest("event"))
    sent = 0
    fleet_seed = seed * 1000
    while sent < events:
        fleet_seed += 1
        for record in generate_fleet(fleet_seed, _NOW, runs=300, losses=False):
            if record.event is None:
                continue
            key, value = record.event["run_id"].encode(), encode(record.event)
            if dice.random() < 0.001:
                value = damaged(value, dice)
            yield key, value
            sent += 1
            if dice.random() < 0.02:
                yield key, value
            if sent >= events:
                return


def damaged(value: bytes, dice: random.Random) -> bytes:
    """Return `value` torn, lengthened, or with another header."""
    kind = dice.randrange(4)
    if kind == 0:
        return value[: dice.randrange(len(value))]
    if kind == 1:
        return value + bytes(dice.randrange(1, 9))
    return dice.randbytes(10 if kind == 2 else 40) + value[10:]


class Publishing(threading.Thread):
    """Publishes in the background, through whatever happens to the broker."""

    def __init__(self, bootstrap: str, topic: str, source: Iterator[Record], *, rate: int) -> None:
        super().__init__(daemon=True)
        self._broker, self._topic, self._source = bootstrap, topic, source
        self._rate = rate
        self.sent = 0
        self.failed: Exception | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Publish no more, and return when the last batch is acknowledged."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        try:
            asyncio.run(self._publish())
        except Exception as error:  # noqa: BLE001 - the edge of the thread; the run reports it
            self.failed = error

    async def _publish(self) -> None:
        pending: list[Record] = []
        started = time.monotonic()
        for record in self._source:
            if self._stopping.is_set():
                break
            pending.append(record)
            if len(pending) == 500:
                await self._send(pending)
                pending = []
                ahead = self.sent / self._rate - (time.monotonic() - started)
                await asyncio.sleep(max(0.0, ahead))
        await self._send(pending)

    async def _send(self, batch: list[Record]) -> None:
        while True:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._broker, acks="all", request_timeout_ms=10_000
            )
            try:
                await producer.start()
                sent = [await producer.send(self._topic, v, key=k) for k, v in batch]
                await asyncio.gather(*sent)
                self.sent += len(batch)
                return
            except KafkaError:
                await asyncio.sleep(0.5)  # sent again as a whole: duplicates are the workers' job
            finally:
                await producer.stop()
