"""`runfold tail` over real Kafka."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from runfold.deploy.cli.tail import event_line
from runfold.deploy.embedded import KafkaServer
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.schemas.event import Event
from runfold.schemas.topic import EVENTS


def _event(run_id: str, n: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"{run_id}-{n}",
        "run_id": run_id,
        "event_type": "tool.ended",
        "occurred_at": 1_763_000_000_000_000 + n,
        **fields,
    }


@contextmanager
def _tail(server: KafkaServer, *arguments: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Run the command and yield its lines; it must end quietly by an interrupt."""
    command = [sys.executable, "-c", "from runfold.deploy.main import main; main()"]
    command += ["tail", "--broker", server.bootstrap, "--format", "json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield (json.loads(line) for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == b""


@pytest.fixture
async def filled(
    kafka_server_factory: Callable[..., KafkaServer],
) -> AsyncIterator[KafkaServer]:
    """Give a broker whose log holds five events of each of two runs."""
    with kafka_server_factory() as server:
        async with KafkaPublisher(server.bootstrap) as publisher:
            for n in range(5):
                await publisher.publish(_event("first", n, agent_name="a"))
                await publisher.publish(_event("second", n, agent_name="b", event_type="custom"))
        yield server


async def _publish(server: KafkaServer, event: dict[str, Any]) -> None:
    async with KafkaPublisher(server.bootstrap) as publisher:
        await publisher.publish(event)


async def _send(server: KafkaServer, key: bytes | None, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=server.bootstrap)
    await producer.start()
    await producer.send_and_wait(EVENTS.name, value, key=key)
    await producer.stop()


async def test_it_shows_what_was_there_and_what_comes(filled: KafkaServer) -> None:
    with _tail(filled, "--from-beginning") as lines:
        shown = [next(lines)["event_id"] for _ in range(10)]
        assert sorted(shown) == [f"{run}-{n}" for run in ("first", "second") for n in range(5)]
        await _publish(filled, _event("third", 1, cost_usd=0.5))
        assert next(lines)["cost_usd"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--run", "fir"], {"first"}),
        (["--agent", "b"], {"second"}),
        (["--type", "tool.ended"], {"first"}),
        (["--since", "1h"], {"first", "second"}),
    ],
)
async def test_it_shows_only_what_is_asked_for(
    filled: KafkaServer, arguments: list[str], expected: set[str]
) -> None:
    start = [] if "--since" in arguments else ["--from-beginning"]
    with _tail(filled, *start, *arguments) as lines:
        assert {next(lines)["run_id"] for _ in range(5 * len(expected))} == expected


async def test_a_damaged_record_is_shown_with_its_reason(filled: KafkaServer) -> None:
    await _send(filled, b"key", b"no avro")
    await _send(filled, None, b"no key")
    with _tail(filled, "--from-beginning") as lines:
        found = [next(lines) for _ in range(12)]
    assert [each["damaged"] for each in found if "damaged" in each] == ["not_avro", "no_key"]


def test_a_line_obeys_no_escape_sequence_of_an_event() -> None:
    event = Event(**_event("run", 1, error_message="\x1b[31mred\nnext", agent_name="\x07"))
    line = event_line(event).plain
    assert "\x1b" not in line
    assert "\n" not in line
    assert "red" in line
