"""`python -m tests.chaos`: break the pipeline at random while it works, then compare.

The states must equal those of an independent pass over the log (`tests/independent_fold.py`), every
offset must tile, and no worker may have needed a hand. The seed is printed; the same seed gives the
same events and the same order of faults, not the same timing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from runfold.producers.demo import generate_fleet
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.topic import DEAD_LETTERS, EVENTS
from tests.chaos.faults import FAULTS, Pipeline, mount_disk, unmount_disk
from tests.independent_fold import Log, expected_rows, read_log
from tests.integration.stack_parts import PlainDuckDB

DRAIN_SECONDS = 180.0
Record = tuple[bytes | None, bytes | None]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def records(seed: int, events: int) -> Iterator[Record]:
    """Yield keys and values: fleets one after another, 2 % repeated, 0.1 % damaged."""
    dice = random.Random(seed)
    encode = SparseEncoder(latest("event"))
    sent = 0
    fleet_seed = seed * 1000
    while sent < events:
        fleet_seed += 1
        for record in generate_fleet(fleet_seed, datetime(2026, 11, 21, 7, tzinfo=UTC), runs=300):
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

    def run(self) -> None:
        try:
            asyncio.run(self._publish())
        except Exception as error:  # noqa: BLE001 - the edge of the thread; the run reports it
            self.failed = error

    async def _publish(self) -> None:
        pending: list[Record] = []
        started = time.monotonic()
        for record in self._source:
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


def run(seed: int, *, events: int, seconds: float, rate: int) -> bool:
    """Run one seed; say what happened; return whether all was well."""
    dice = random.Random(seed)
    say(f"seed {seed}: {events} events, faults for {seconds:.0f} s")
    with tempfile.TemporaryDirectory(prefix="runfold-chaos-") as folder:
        root = Path(folder)
        kafka = KafkaServer(
            root / "kafka",
            prepare_runtime(),
            options=KafkaOptions(client_port=0, controller_port=0),
        )
        disk = mount_disk(root / "disk", mebibytes=2000)
        try:
            with kafka:
                return _run(dice, seed, kafka, (root, disk), events, seconds, rate)
        finally:
            if disk is not None:
                unmount_disk(disk)


def _run(
    dice: random.Random,
    seed: int,
    kafka: KafkaServer,
    places: tuple[Path, Path | None],
    events: int,
    seconds: float,
    rate: int,
) -> bool:
    root, disk = places
    topic = f"chaos-{seed}"
    asyncio.run(
        ensure_topics(kafka.bootstrap, [replace(EVENTS, name=topic, partitions=6), DEAD_LETTERS])
    )
    lake = (disk or root) / "lake"
    pipeline = Pipeline(kafka, topic, lake, disk)
    publishing = Publishing(kafka.bootstrap, topic, records(seed, events), rate=rate)
    for _ in range(3):
        pipeline.start_worker()
    try:
        publishing.start()
        _break_things(pipeline, dice, publishing, seconds)
        publishing.join()
        if publishing.failed is not None:
            raise publishing.failed
        log = asyncio.run(read_log(kafka.bootstrap, topic))
        drained = _drain(pipeline, PlainDuckDB(lake), log.records)
        codes = pipeline.stop_all()
        return _compare(pipeline, PlainDuckDB(lake), log, drained=drained, codes=codes)
    finally:
        pipeline.kill_all()


def _break_things(
    pipeline: Pipeline, dice: random.Random, publishing: Publishing, seconds: float
) -> None:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at or publishing.is_alive():
        time.sleep(dice.uniform(0.5, 4))
        if time.monotonic() > give_up_at:
            continue
        pipeline.check_alive()
        name = dice.choice(list(FAULTS))
        say(f"  {name} ({publishing.sent} events sent, {len(pipeline.workers)} workers)")
        FAULTS[name](pipeline, dice)
        pipeline.survived[name] = pipeline.survived.get(name, 0) + 1


def _drain(pipeline: Pipeline, lake: PlainDuckDB, expected: int) -> float | None:
    started = time.monotonic()
    while time.monotonic() - started < DRAIN_SECONDS:
        dead = [worker for worker in pipeline.workers if worker.process.poll() is not None]
        if dead:
            say(f"  a worker ended by itself:\n{dead[0].said()[-4000:]}")
            return None
        if lake.accounted() == expected:
            return time.monotonic() - started
        time.sleep(0.5)
    say(f"  not drained: {lake.accounted()} of {expected}")
    for worker in pipeline.workers:
        say(worker.said()[-2000:])
    return None


def _compare(
    pipeline: Pipeline, lake: PlainDuckDB, log: Log, *, drained: float | None, codes: list[int]
) -> bool:
    expected, found = expected_rows(log), lake.runs()
    everyone = expected.keys() | found
    wrong = [run_id for run_id in everyone if expected.get(run_id) != found.get(run_id)]
    [(rows, distinct)] = lake.rows(
        "select count(*), count(distinct (run_id, event_id)) from events"
    )
    dead = lake.rows('select partition, "offset" from dead_letters order by 1, 2')
    well = {
        "drained": drained is not None,
        "states equal": not wrong,
        "every event once": rows == distinct == log.events,
        "dead letters equal": dead == sorted(log.bad),
        "workers ended well": all(code == 0 for code in codes),
    }
    faults = ", ".join(f"{count} x {name}" for name, count in sorted(pipeline.survived.items()))
    say(f"  faults: {sum(pipeline.survived.values())} ({faults})")
    say(
        f"  log: {log.records} records, {log.events} events, {log.duplicates} duplicates, "
        f"{len(log.bad)} damaged; {len(expected)} runs, {len(wrong)} wrong; "
        f"drained in {drained or 0:.1f} s; exit codes {codes}"
    )
    for run_id in wrong[:3]:
        say(f"  {run_id}: expected {expected.get(run_id)}\n    found {found.get(run_id)}")
    for name, holds in well.items():
        say(f"  {'ok  ' if holds else 'FAIL'} {name}")
    return all(well.values())


def main() -> None:
    """Run the seeds given."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, action="append", help="several may be given")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--rate", type=int, default=3000, help="events a second")
    given = parser.parse_args()
    seeds = given.seed or [random.SystemRandom().randrange(10**6)]
    results = {
        seed: run(seed, events=given.events, seconds=given.seconds, rate=given.rate)
        for seed in seeds
    }
    for seed, well in results.items():
        say(f"seed {seed}: {'well' if well else 'BROKEN'}")
    raise SystemExit(0 if all(results.values()) else 1)


if __name__ == "__main__":
    main()
