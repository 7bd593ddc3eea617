"""The embedded PostgreSQL: starts, keeps its data, stays private, ends with whoever began it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from runfold.deploy.embedded.errors import DataDirLocked, DataDirUnusable
from runfold.deploy.embedded.locks import FileLock
from runfold.deploy.embedded.postgres import PostgresServer
from tests.integration.stack_parts import wait_until

_STARTS_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from runfold.deploy.embedded.postgres import PostgresServer
server = PostgresServer(Path(sys.argv[1]), port=0)
server.start()
server.wait_ready()
os.kill(os.getpid(), signal.SIGKILL)
"""


def ask(server: PostgresServer, question: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def test_its_data_survive_a_stop_and_a_kill_of_whoever_started_it(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    killed = subprocess.run([sys.executable, "-c", _STARTS_AND_IS_KILLED, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with PostgresServer(folder, port=0) as server:  # waits until the orphan is gone
        first_url = server.url
        ask(server, "create table kept (n int)")
        with pytest.raises(DataDirLocked, match=f"process {os.getpid()}"):
            PostgresServer(folder).start()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(first_url, connect_timeout=2)

    with PostgresServer(folder, port=0) as server:
        assert server.url == first_url  # the same port, the same password
        assert ask(server, "select count(*) from kept") == 0
        server.kill()
    with PostgresServer(folder, port=0) as server:
        assert ask(server, "select count(*) from kept") == 0

    (folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(DataDirUnusable, match="is of PostgreSQL 15"):
        PostgresServer(folder).start()
    FileLock(folder / "lock").acquire()  # nothing is left locked


def test_others_are_kept_out_and_it_runs_as_no_root(postgres: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url, password="guessed")
    folder = postgres.log_file.parent
    for secret in ("password", "url"):
        assert (folder / secret).stat().st_mode & 0o077 == 0
    assert ask(postgres, "show listen_addresses") == "127.0.0.1"
    assert (folder / "data").stat().st_uid != 0


def test_a_port_that_is_taken_is_left_to_its_owner(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with PostgresServer(tmp_path / "postgres", port=port) as server:
            assert str(port) not in server.address
            assert ask(server, "select 1") == 1


def test_a_start_that_was_broken_off_is_made_good(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with PostgresServer(tmp_path / "postgres", port=0) as server:
        pid = server.process_id
        assert ask(server, "select 1") == 1
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.exit_code() is not None, "it is seen to be gone", workers=[])
    assert server.exit_code() is None
