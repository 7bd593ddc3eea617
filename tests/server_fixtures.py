"""Real Apache Kafka and PostgreSQL for the tests: one for all of them, and more to break.

A broker that does not start fails the run. All that these fixtures write lies in one temporary
folder, which a process of its own removes when pytest is gone, in whatever way it went.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from runfold.deploy.embedded import KafkaOptions, KafkaRuntime, KafkaServer, prepare_runtime
from runfold.deploy.embedded.postgres import PostgresServer

ANY_FREE_PORTS = KafkaOptions(client_port=0, controller_port=0)

# Waits for the end of its standard input or of its parent, then for every broker to let go of its
# data directory, then removes the folder.
_JANITOR = """
import fcntl, os, pathlib, select, shutil, sys
folder, parent = pathlib.Path(sys.argv[1]), int(sys.argv[2])
while os.getppid() == parent and not select.select([0], [], [], 1.0)[0]:
    pass
for lock in folder.glob("*/lock"):
    fcntl.flock(lock.open(), fcntl.LOCK_EX)
shutil.rmtree(folder)
"""


@pytest.fixture(scope="session")
def kafka_root() -> Iterator[Path]:
    """Give the folder of all brokers of this run."""
    folder = Path(tempfile.mkdtemp(prefix="runfold-tests-"))
    janitor = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _JANITOR, str(folder), str(os.getpid())],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    with janitor:
        yield folder
    assert janitor.returncode == 0
    assert not folder.exists()


@pytest.fixture(scope="session")
def kafka_runtime() -> KafkaRuntime:
    """Give Java and Kafka's jars, which are fetched if this machine has not got them."""
    return prepare_runtime()


@pytest.fixture(scope="session")
def kafka(kafka_root: Path, kafka_runtime: KafkaRuntime) -> Iterator[KafkaServer]:
    """Give the broker that all tests share; its address is `kafka.bootstrap`. Do not stop it."""
    server = KafkaServer(kafka_root / "shared", kafka_runtime, options=ANY_FREE_PORTS)
    with server:
        yield server


@pytest.fixture
def kafka_server_factory(
    kafka_root: Path, kafka_runtime: KafkaRuntime
) -> Iterator[Callable[..., KafkaServer]]:
    """Give a function that makes a broker, not started yet, which the test may kill and restart.

    `make()` makes one over a new data directory on any free ports; `make(data_dir, options)`
    chooses them. What still runs after the test is killed.
    """
    servers: list[KafkaServer] = []

    def make(data_dir: Path | None = None, options: KafkaOptions = ANY_FREE_PORTS) -> KafkaServer:
        folder = data_dir or kafka_root / f"broker-{uuid.uuid4().hex[:12]}"
        servers.append(KafkaServer(folder, kafka_runtime, options=options))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def topic_name() -> str:
    """Give a topic name that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def postgres(kafka_root: Path) -> Iterator[PostgresServer]:
    """Give the PostgreSQL that all tests share. Do not stop it."""
    with PostgresServer(kafka_root / "postgres", port=0) as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Give the address of an empty database that is the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
        yield postgres.url_of(name)
        connection.execute(f"drop database {name} with (force)".encode())
