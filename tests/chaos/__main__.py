"""`python -m tests.chaos`: break the pipeline at random while it works, then compare.

The states must equal those of an independent pass over the log (`tests/independent_fold.py`), every
offset must tile, `runfold audit` must find that the ledger balances, and no worker may have needed
a hand. With `--plant` the workers have a bug, and all that counts is that the audit finds it. The
seed is printed; the same seed gives the same events and the same order of faults, not the same
timing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.topic import DEAD_LETTERS, EVENTS
from runfold.sinks.object_path import LakePath
from tests.buckets import S3Server, s3_server
from tests.chaos.faults import FAULTS, IN_A_BUCKET, Pipeline, mount_disk, unmount_disk
from tests.chaos.feed import Publishing, records
from tests.independent_fold import Log, expected_rows, read_log
from tests.integration.stack_parts import PLAIN, PlainDuckDB, planted
from tests.plants import FOUND_AS, PLANTS

DRAIN_SECONDS = 180.0
STILL_SECONDS = 10.0
"""A lake with a planted hole is drained when it has not changed for so long."""


@dataclass(frozen=True)
class Wanted:
    """How one seed is run.

    Units: `rate` in events a second; `plant_rate` one event, or file, in so many.
    """

    events: int
    seconds: float
    rate: int
    plant: str | None
    plant_rate: int
    lake: str


@dataclass(frozen=True)
class Outcome:
    """How it went."""

    well: bool
    faults: Counter[str]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(seed: int, wanted: Wanted) -> Outcome:
    """Run one seed; say what happened."""
    bug = f", {wanted.plant} planted" if wanted.plant else ""
    say(f"seed {seed}: {wanted.events} events, faults for {wanted.seconds:.0f} s{bug}")
    with tempfile.TemporaryDirectory(prefix="runfold-chaos-") as folder:
        root = Path(folder)
        kafka = KafkaServer(
            root / "kafka",
            prepare_runtime(),
            options=KafkaOptions(client_port=0, controller_port=0),
        )
        with _storage(root, wanted.lake) as storage, kafka:
            return _run(seed, kafka, storage, wanted)


@contextmanager
def _storage(root: Path, kind: str) -> Iterator[tuple[LakePath, Path | None, S3Server | None]]:
    """Give the place of the lake, and the disk or the server that it lies on, for faults."""
    if kind == "s3":
        with s3_server() as server:
            os.environ.update(server.variables)
            yield server.new_lake(), None, server
        return
    disk = mount_disk(root / "disk", mebibytes=2000)
    try:
        yield (disk or root) / "lake", disk, None
    finally:
        if disk is not None:
            unmount_disk(disk)


def _run(
    seed: int,
    kafka: KafkaServer,
    storage: tuple[LakePath, Path | None, S3Server | None],
    wanted: Wanted,
) -> Outcome:
    lake, disk, server = storage
    topic = f"chaos-{seed}"
    asyncio.run(
        ensure_topics(kafka.bootstrap, [replace(EVENTS, name=topic, partitions=6), DEAD_LETTERS])
    )
    program = planted(wanted.plant, wanted.plant_rate) if wanted.plant else PLAIN
    pipeline = Pipeline(kafka, topic, lake, disk, server, program)
    source = records(seed, wanted.events)
    publishing = Publishing(kafka.bootstrap, topic, source, rate=wanted.rate)
    for _ in range(3):
        pipeline.start_worker()
    try:
        publishing.start()
        _break_things(pipeline, random.Random(seed), publishing, wanted.seconds)
        publishing.join()
        if publishing.failed is not None:
            raise publishing.failed
        log = asyncio.run(read_log(kafka.bootstrap, topic))
        whole = wanted.plant is None
        drained = _drain(pipeline, PlainDuckDB(lake), log.records, whole=whole)
        codes = pipeline.stop_all()
        well = _compare(pipeline, PlainDuckDB(lake), log, drained=drained, codes=codes)
        return Outcome(_judge(well, _audit(pipeline), wanted.plant), Counter(pipeline.survived))
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
        fault = FAULTS[name]
        if pipeline.server is not None and name in IN_A_BUCKET:
            fault, name = IN_A_BUCKET[name]
        say(f"  {name} ({publishing.sent} events sent, {len(pipeline.workers)} workers)")
        fault(pipeline, dice)
        pipeline.survived[name] = pipeline.survived.get(name, 0) + 1


def _drain(pipeline: Pipeline, lake: PlainDuckDB, expected: int, *, whole: bool) -> float | None:
    """Wait until the lake accounts for all records, or, where not `whole`, stands still."""
    started = changed_at = time.monotonic()
    accounted = 0
    while time.monotonic() - started < DRAIN_SECONDS:
        dead = [worker for worker in pipeline.workers if worker.process.poll() is not None]
        if dead:
            say(f"  a worker ended by itself:\n{dead[0].said()[-4000:]}")
            return None
        before, accounted = accounted, lake.accounted()
        if accounted != before:
            changed_at = time.monotonic()
        still = time.monotonic() - changed_at > STILL_SECONDS
        if accounted == expected or (still and not whole):
            return changed_at - started
        time.sleep(0.5)
    say(f"  not drained: {accounted} of {expected}")
    for worker in pipeline.workers:
        say(worker.said()[-2000:])
    return None


def _audit(pipeline: Pipeline) -> dict[str, Any]:
    """Return what `runfold audit` says of the lake."""
    where = ["--broker", pipeline.kafka.bootstrap, "--topic", pipeline.topic]
    where += ["--lake", str(pipeline.lake)]
    command = [sys.executable, "-m", "runfold.deploy", "audit", "--format", "json", *where]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [*command, "--data-dir", empty], capture_output=True, text=True, check=False
        )
    if not done.stdout:
        raise AssertionError(f"runfold audit: exit code {done.returncode}\n{done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout)
    ledger = {name: count for name, count in said["ledger"].items() if count}
    say(f"  audited in {time.monotonic() - started:.1f} s: {ledger}")
    if said["ok"] != (done.returncode == 0):
        raise AssertionError(f"runfold audit: ok is {said['ok']}, exit code {done.returncode}")
    return said


def _judge(well: dict[str, bool], audit: dict[str, Any], plant: str | None) -> bool:
    """Say what holds and what the audit found; return whether all is as it should be."""
    kinds = Counter(each["kind"] for each in audit["findings"])
    if plant is None:
        well["ledger balances"] = audit["ok"]
    for finding in audit["findings"][:5]:
        say(f"  {finding['kind']}: {finding['says']}")
    say(f"  the audit found {dict(kinds) or 'nothing'}")
    for name, holds in well.items():
        say(f"  {'ok  ' if holds else 'FAIL'} {name}")
    return all(well.values()) if plant is None else not FOUND_AS[plant].isdisjoint(kinds)


def _compare(
    pipeline: Pipeline, lake: PlainDuckDB, log: Log, *, drained: float | None, codes: list[int]
) -> dict[str, bool]:
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
    return well


def main() -> None:
    """Run the seeds given."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, action="append", help="several may be given")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--rate", type=int, default=3000, help="events a second")
    parser.add_argument("--plant", choices=PLANTS, help="a bug that the workers are to have")
    parser.add_argument("--plant-rate", type=int, default=1000, help="one event or file in so many")
    parser.add_argument("--lake", choices=("disk", "s3"), default="disk", help="where it lies")
    given = parser.parse_args()
    wanted = Wanted(
        given.events, given.seconds, given.rate, given.plant, given.plant_rate, given.lake
    )
    seeds = given.seed or [random.SystemRandom().randrange(10**6)]
    outcomes = {seed: run(seed, wanted) for seed in seeds}
    for seed, outcome in outcomes.items():
        say(f"seed {seed}: {'well' if outcome.well else 'BROKEN'}")
    survived = sum((outcome.faults for outcome in outcomes.values()), Counter[str]())
    say(f"faults in all: {survived.total()}")
    for name, count in survived.most_common():
        say(f"  {count:4} {name}")
    raise SystemExit(0 if all(outcome.well for outcome in outcomes.values()) else 1)


if __name__ == "__main__":
    main()
