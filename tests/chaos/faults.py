"""Faults, each done to a running pipeline and undone again."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runfold.deploy.embedded import KafkaServer
from runfold.sinks.object_path import LakePath
from tests.buckets import S3Server
from tests.integration.stack_parts import PLAIN, WorkerProcess

LONGER_THAN_THE_SESSION_SECONDS = 13.0


@dataclass
class Pipeline:
    """A broker, some workers over one lake, and what has been done to them.

    Shape: `disk` is a file system of its own that the lake lies on, None where none can be made or
    where the lake lies in a bucket of `server`; `program` is what the workers run.
    """

    kafka: KafkaServer
    topic: str
    lake: LakePath
    disk: Path | None
    server: S3Server | None = None
    program: Sequence[str] = PLAIN
    workers: list[WorkerProcess] = field(default_factory=list)
    survived: dict[str, int] = field(default_factory=dict)

    def start_worker(self) -> None:
        """Start one more worker."""
        worker = WorkerProcess(self.kafka.bootstrap, self.topic, self.lake, program=self.program)
        self.workers.append(worker)

    def check_alive(self) -> None:
        """Fail where a worker ended by itself."""
        for worker in self.workers:
            if worker.process.poll() is not None:
                code = worker.process.returncode
                raise AssertionError(f"a worker ended with {code}:\n{worker.said()[-6000:]}")

    def stop_all(self) -> list[int]:
        """Stop every worker as an operator would; return their exit codes."""
        return [worker.stop() for worker in self.workers]

    def kill_all(self) -> None:
        """End every worker at once."""
        for worker in self.workers:
            worker.__exit__()


def kill_worker(pipeline: Pipeline, dice: random.Random) -> None:
    victim = pipeline.workers.pop(dice.randrange(len(pipeline.workers)))
    victim.kill()
    time.sleep(dice.uniform(0, 2))
    pipeline.start_worker()


def terminate_worker(pipeline: Pipeline, dice: random.Random) -> None:
    victim = pipeline.workers.pop(dice.randrange(len(pipeline.workers)))
    victim.process.terminate()
    code = victim.process.wait(60)
    if code not in (0, -signal.SIGTERM):
        raise AssertionError(f"SIGTERM: exit code {code}\n{victim.said()[-4000:]}")
    pipeline.start_worker()


def pause_worker(pipeline: Pipeline, dice: random.Random) -> None:
    victim = dice.choice(pipeline.workers)
    victim.process.send_signal(signal.SIGSTOP)
    time.sleep(LONGER_THAN_THE_SESSION_SECONDS)
    victim.process.send_signal(signal.SIGCONT)


def add_worker(pipeline: Pipeline, dice: random.Random) -> None:
    del dice
    pipeline.start_worker()


def remove_worker(pipeline: Pipeline, dice: random.Random) -> None:
    if len(pipeline.workers) > 2:
        victim = pipeline.workers.pop(dice.randrange(len(pipeline.workers)))
        victim.kill()


def restart_broker(pipeline: Pipeline, dice: random.Random) -> None:
    pipeline.kafka.kill()
    time.sleep(dice.uniform(0, 3))
    pipeline.kafka.start()
    pipeline.kafka.wait_ready()


def fill_disk(pipeline: Pipeline, dice: random.Random) -> None:
    if pipeline.disk is None:
        return
    ballast = pipeline.disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(1 << 20))
    except OSError:  # full, which is what was wanted
        time.sleep(dice.uniform(2, 6))
    ballast.unlink(missing_ok=True)


def tear_a_write(pipeline: Pipeline, dice: random.Random) -> None:
    """Leave the first half of a file under a temporary name, as a writer that died does."""
    files = sorted(Path(str(pipeline.lake)).rglob("p*.parquet"))
    if files:
        whole = dice.choice(files)
        torn = whole.with_name(f".{whole.name}.{dice.randrange(16**8):08x}.tmp")
        torn.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


FAULTS: dict[str, Callable[[Pipeline, random.Random], None]] = {
    "kill -9 a worker": kill_worker,
    "SIGTERM a worker": terminate_worker,
    "pause a worker past its session": pause_worker,
    "add a worker": add_worker,
    "remove a worker": remove_worker,
    "kill -9 the broker": restart_broker,
    "fill the lake's disk": fill_disk,
    "tear a write": tear_a_write,
}


def break_server(pipeline: Pipeline, dice: random.Random) -> None:
    if pipeline.server is not None:
        pipeline.server.fail(status=dice.choice([500, 503]))
        time.sleep(dice.uniform(2, 6))
        pipeline.server.fail()


def cut_puts(pipeline: Pipeline, dice: random.Random) -> None:
    if pipeline.server is not None:
        pipeline.server.fail(cut=True, method="PUT", requests=dice.randrange(1, 40))


IN_A_BUCKET = {
    "fill the lake's disk": (break_server, "500 or 503 from the bucket"),
    "tear a write": (cut_puts, "cut PUTs"),
}
"""What is done instead where the lake lies in a bucket."""


def mount_disk(place: Path, *, mebibytes: int) -> Path | None:
    """Return a small file system at `place`, None where this user may not make one."""
    place.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place)]
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    return place if done.returncode == 0 else None


def unmount_disk(place: Path) -> None:
    """Take the file system away again."""
    subprocess.run(["umount", "--lazy", str(place)], check=True)
