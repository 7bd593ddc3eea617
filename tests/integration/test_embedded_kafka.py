"""The embedded broker: it keeps its data, moves out of the way, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from runfold.deploy.embedded import KafkaOptions, KafkaRuntime, KafkaServer, guard
from runfold.deploy.embedded.errors import DataDirLocked, KafkaNotRunning, KafkaStartFailed
from runfold.deploy.embedded.probe import ask_identity

Factory = Callable[..., KafkaServer]

DEADLINE_SECONDS = 30.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds, fail when it does not within the deadline."""
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > give_up_at:
            pytest.fail(f"did not happen within {DEADLINE_SECONDS:g} s: {what}")
        time.sleep(0.02)


def is_gone(process: psutil.Process | None) -> bool:
    """Return whether a process has ended, be it that nobody has collected its exit code yet."""
    try:
        return process is not None and process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def create_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_request_size=12 * 1024 * 1024
    ) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value or b"" for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_second_start_finds_the_data_the_cluster_and_the_address_again(
    kafka_server_factory: Factory, topic_name: str
) -> None:
    first = kafka_server_factory()
    with first:
        address, cluster_id = first.bootstrap, first.cluster_id
        await create_topic(address, topic_name)
        await produce(address, topic_name, [b"one", b"two"])

    with kafka_server_factory(first.data_dir) as second:
        assert (second.bootstrap, second.cluster_id) == (address, cluster_id)
        assert await consume(second.bootstrap, topic_name, 2) == [b"one", b"two"]


async def test_what_was_acknowledged_survives_a_broker_that_is_killed(
    kafka_server_factory: Factory, topic_name: str
) -> None:
    server = kafka_server_factory()
    server.start()
    server.wait_ready()
    await create_topic(server.bootstrap, topic_name)
    await produce(server.bootstrap, topic_name, [b"kept"])

    server.kill()
    assert not (server.data_dir / "data" / ".kafka_cleanshutdown").exists()
    server.start()
    server.wait_ready()

    assert await consume(server.bootstrap, topic_name, 1) == [b"kept"]


async def test_a_record_of_ten_megabytes_passes(kafka: KafkaServer, topic_name: str) -> None:
    body = os.urandom(10 * 1024 * 1024)
    await create_topic(kafka.bootstrap, topic_name)

    await produce(kafka.bootstrap, topic_name, [body])

    assert await consume(kafka.bootstrap, topic_name, 1) == [body]


def test_a_clean_stop_is_written_to_the_log_and_leaves_no_process(
    kafka_server_factory: Factory,
) -> None:
    server = kafka_server_factory()
    steps: list[str] = []
    server.start(steps.append)
    server.wait_ready()
    broker = psutil.Process(server.pid)
    guardian = broker.parent()
    assert steps == ["locking the data directory", "formatting the storage", "starting Kafka"]
    assert f"-Djava.io.tmpdir={server.data_dir / 'tmp'}" in broker.cmdline()

    server.stop()

    assert is_gone(broker)
    assert is_gone(guardian)
    assert (server.data_dir / "data" / ".kafka_cleanshutdown").exists()
    assert (server.data_dir / "logs" / "console.log").read_text() == ""
    assert list((server.data_dir / "tmp").iterdir()) == []
    with pytest.raises(KafkaNotRunning):
        server.pause()


def test_a_client_port_that_is_taken_is_replaced_by_a_free_one(
    kafka_server_factory: Factory,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        options = KafkaOptions(client_port=taken, controller_port=taken)
        with kafka_server_factory(None, options) as server:
            assert server.bootstrap.startswith("127.0.0.1:")
            assert not server.bootstrap.endswith(f":{taken}")


def test_a_port_that_is_taken_after_it_was_chosen_is_replaced_too(
    kafka_server_factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        with monkeypatch.context() as chosen_too_early:
            chosen_too_early.setattr("runfold.deploy.embedded.ports.is_free", lambda _port: True)
            server = kafka_server_factory(None, KafkaOptions(taken, 0))
            server.start()
        assert server.bootstrap.endswith(f":{taken}")

        server.wait_ready()

        assert not server.bootstrap.endswith(f":{taken}")


def test_a_second_server_over_the_same_data_is_told_who_has_it(
    kafka: KafkaServer, kafka_server_factory: Factory
) -> None:
    second = kafka_server_factory(kafka.data_dir)

    with pytest.raises(DataDirLocked, match=rf"in use by process {os.getpid()};"):
        second.start()

    assert ask_identity(*address_of(kafka), timeout=timedelta(seconds=5)).cluster_id


def test_a_broker_that_dies_while_it_starts_says_its_last_words(
    kafka_server_factory: Factory,
) -> None:
    broken = KafkaOptions(0, 0, properties={"log.segment.bytes": "a lot"})
    server = kafka_server_factory(None, broken)
    # Formatting reads the same file, so it is the first to refuse it.
    with pytest.raises(KafkaStartFailed, match=r"a lot.*log\.segment\.bytes"):
        server.start()

    good = kafka_server_factory(server.data_dir)
    with good:
        pass
    server.start()
    with pytest.raises(KafkaStartFailed, match=r"(?s)Kafka ended.*a lot.*log\.segment\.bytes"):
        server.wait_ready()
    # The directory is free again.
    good.start()


def test_a_broker_that_does_not_answer_in_time_is_ended(kafka_server_factory: Factory) -> None:
    server = kafka_server_factory()
    server.start()
    broker = psutil.Process(server.pid)
    server.pause()

    with pytest.raises(KafkaStartFailed, match=r"did not answer within 0\.3 s"):
        server.wait_ready(timedelta(seconds=0.3))

    assert is_gone(broker)


def test_a_paused_broker_is_silent_until_it_is_resumed(kafka_server_factory: Factory) -> None:
    with kafka_server_factory() as server:
        server.pause()
        with pytest.raises(TimeoutError):
            ask_identity(*address_of(server), timeout=timedelta(seconds=0.3))

        server.resume()

        identity = ask_identity(*address_of(server), timeout=timedelta(seconds=10))
        assert identity.brokers == (server.bootstrap,)


def test_a_paused_broker_can_be_stopped(kafka_server_factory: Factory) -> None:
    with kafka_server_factory() as server:
        broker = psutil.Process(server.pid)
        server.pause()
    assert is_gone(broker)
    assert (server.data_dir / "data" / ".kafka_cleanshutdown").exists()


# The process that is forked off keeps the pipe to the guard open after its parent's death.
PARENT = """
import os, pathlib, sys, time
from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
options = KafkaOptions(client_port=0, controller_port=0)
server = KafkaServer(pathlib.Path(sys.argv[1]), prepare_runtime(), options=options)
server.start()
server.wait_ready()
forked = os.fork()
if forked:
    print(server.pid, forked, flush=True)
time.sleep(600)
"""


def test_a_broker_ends_cleanly_when_its_parent_is_killed_and_its_data_can_be_used_at_once(
    kafka_root: Path, kafka_server_factory: Factory
) -> None:
    data_dir = kafka_root / "orphan"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        broker, forked = (psutil.Process(int(pid)) for pid in parent.stdout.readline().split())
        guardian = broker.parent()
        parent.kill()

    # No waiting here: the start itself waits for the broker that is about to end.
    try:
        with kafka_server_factory(data_dir):
            assert is_gone(broker)
    finally:
        forked.kill()
    assert is_gone(guardian)
    assert "shut down completely" in (data_dir / "logs" / "server.log").read_text()


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_a_broker_ends_when_its_guard_is_killed(kafka_server_factory: Factory) -> None:
    with kafka_server_factory() as server:
        broker = psutil.Process(server.pid)
        guardian = broker.parent()
        assert guardian is not None
        guardian.kill()
        wait_until(lambda: is_gone(broker), "the broker ends")


def test_an_interrupt_from_the_terminal_does_not_reach_the_broker(
    kafka_server_factory: Factory,
) -> None:
    with kafka_server_factory() as server:
        assert os.getpgid(server.pid) != os.getpgid(0)
        assert os.getsid(server.pid) != os.getsid(0)


def test_a_guard_kills_a_command_that_ignores_the_request_to_end(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)"
    with (
        (tmp_path / "lock").open("w") as lock,
        (tmp_path / "output").open("w+b") as output,
        subprocess.Popen(
            [
                *(sys.executable, guard.__file__, f"--parent={os.getpid()}"),
                *("--grace-seconds=0.2", f"--lock-fd={lock.fileno()}"),
                *("--", sys.executable, "-u", "-c", stubborn),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            pass_fds=(lock.fileno(),),
        ) as guarding,
    ):
        assert guarding.stdout is not None
        assert guarding.stdin is not None
        child = psutil.Process(int(guarding.stdout.readline().split()[1]))
        wait_until(lambda: (tmp_path / "output").read_bytes() == b"1\n", "the command runs")

        guarding.stdin.close()

        assert guarding.wait(DEADLINE_SECONDS) == 128 + signal.SIGKILL
        assert is_gone(child)


def test_a_warm_cache_needs_neither_the_network_nor_jgo(kafka_runtime: KafkaRuntime) -> None:
    offline = {
        **os.environ,
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    script = (
        "import sys; sys.modules.update(jgo=None, requests=None);"
        "from runfold.deploy.embedded import prepare_runtime; print(len(prepare_runtime().jars))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=offline, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == len(kafka_runtime.jars)


def test_a_cold_cache_without_network_says_what_to_do(tmp_path: Path) -> None:
    offline = {
        **os.environ,
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "",
        "no_proxy": "",
        "XDG_CACHE_HOME": str(tmp_path),
    }
    script = "from runfold.deploy.embedded import prepare_runtime; prepare_runtime()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=offline, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"copy the folder {tmp_path}/runfold/kafka-4.3.1 from a machine" in done.stderr
    assert "Connection refused" in done.stderr


def address_of(server: KafkaServer) -> tuple[str, int]:
    host, _, port = server.bootstrap.partition(":")
    return host, int(port)
