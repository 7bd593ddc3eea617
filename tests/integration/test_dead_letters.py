"""Dead letters from end to end: real Kafka, a real worker, the commands as a user types them."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from runfold.deploy.cli.app import run as run_command_line
from runfold.deploy.embedded import KafkaServer
from runfold.processors.dead_letters import DeadLetterSender
from runfold.processors.run_table import DeadLetter
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.offsets import LogPartition
from runfold.schemas.topic import DEAD_LETTERS
from tests.crashes import Crashed
from tests.integration.stack_parts import PlainDuckDB, WorkerProcess, make_topics, wait_until
from tests.unit.test_confluent import FIELDS, Registry, registry

__all__ = ["registry"]

ENCODE = SparseEncoder(latest("event"))
NOON_US = 1_763_035_200_000_000
SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "avro" / "event.v1.avsc"


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"id-{number}",
        "run_id": "run",
        "event_type": "custom",
        "occurred_at": NOON_US + number,
        **fields,
    }


DAMAGED, FOREIGN, OTHERS_KEY, NANOSECONDS, NEWER, NO_ID = range(6)
BAD: list[tuple[bytes, bytes]] = [
    (b"run", ENCODE(event(0))[:-20]),
    (b"run", b'{"what": "crawl", "took": 12, "at": "2026-11-21T07:00:00Z"}'),
    (b"another", ENCODE(event(2))),
    (b"run", ENCODE(event(3, occurred_at=NOON_US * 1000))),
    (b"run", b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08" + ENCODE(event(4))[10:]),
    (b"run", ENCODE(event(5, event_id=""))),
]
FROM_JSON = """
select(.event.what) | {run_id: .key, event_type: "tool.ended", tool_name: .event.what,
                       duration_ms: .event.took, occurred_at: .event.at}
"""


class Place:
    """A topic with a lake, and the commands over them."""

    def __init__(self, kafka: KafkaServer, topic: str, folder: Path, run: Callable[..., Any]):
        self.bootstrap = kafka.bootstrap
        self.topic = topic
        self.lake = PlainDuckDB(folder / "lake")
        self._folder = folder
        self._run = run
        asyncio.run(make_topics(self.bootstrap, topic, partitions=1))

    def send(self, records: Sequence[tuple[bytes | None, bytes | None]], **options: Any) -> None:
        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
                for key, value in records:
                    await producer.send(self.topic, value, key=key, partition=0, **options)
                await producer.flush()

        asyncio.run(send())

    async def dead_letter(self, record: tuple[bytes, bytes]) -> None:
        """Put a letter into its topic, of offset 7."""
        sender = DeadLetterSender(self.bootstrap, self.topic)
        log = LogPartition("a-topic", 0)
        await sender.send([DeadLetter(log, 7, NOON_US, "key_mismatch", "why", *record)])
        await sender.close()

    def worker(self, *options: str) -> WorkerProcess:
        return WorkerProcess(self.bootstrap, self.topic, self._folder / "lake", *options)

    def wait_for(self, records: int, worker: WorkerProcess) -> None:
        wait_until(lambda: self.lake.accounted() == records, "all folded", workers=[worker])

    def dlq(self, *words: str, code: int = 0) -> Any:
        """Type `runfold dlq …`; return what it says, as JSON where it is some."""
        where = ["--broker", self.bootstrap, "--topic", self.topic]
        ended, out, err = self._run("dlq", *words, *where)
        assert ended == code, out + err
        return json.loads(out) if "json" in words else out + err

    def states(self) -> dict[str, str]:
        rows = self.dlq("ls", "--each", "--format", "json")
        return {row["key"]: row["state"] for row in rows}

    def stored(self) -> list[tuple[Any, ...]]:
        return self.lake.rows("select event_id, count(*) from events group by 1 order by 1")


@pytest.fixture
def place(
    kafka: KafkaServer,
    topic_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    """Give a topic of one partition, with the command line over it."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["runfold", *words])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    monkeypatch.setenv("COLUMNS", "200")
    return Place(kafka, topic_name, tmp_path, run)


def test_what_could_not_become_an_event_is_seen_mended_and_stored_once(
    place: Place, tmp_path: Path
) -> None:
    place.send(BAD, headers=[("origin", b"crawler"), ("empty", None)])
    with place.worker() as worker:
        place.wait_for(len(BAD), worker)
        groups = {row["reason"]: row for row in place.dlq("ls", "--format", "json")}
        assert groups["bad_time"] | {"first": 0, "last": 0} == {
            "reason": "bad_time", "letters": 1, "open": 1, "redriven": 0, "fixed": 0, "first": 0,
            "last": 0, "example": groups["bad_time"]["example"],
        }  # fmt: skip
        assert len(groups) == len(BAD)

        [shown] = place.dlq("show", "0/1", "--format", "json", "--raw", str(tmp_path / "raw"))
        assert (tmp_path / "raw").read_bytes() == BAD[FOREIGN][1]
        assert shown["headers"] == [
            {"name": "origin", "value": "crawler"}, {"name": "empty", "value": None}
        ]  # fmt: skip
        assert shown["event"]["what"] == "crawl"
        assert "there is no dead letter 0/77" in place.dlq("show", "0/77", code=2)

        refused = place.dlq("redrive", "--all", "--yes", "--format", "json", code=1)
        assert (refused["sent"], refused["refused"]) == (0, len(BAD))
        milliseconds = "event | {'occurred_at': event['occurred_at'] // 1000}"
        dry = place.dlq("fix", "--all", "--python", milliseconds, "--dry-run", code=1)
        assert set(place.states().values()) == {"open"}
        assert "'NoneType' object is not subscriptable" in dry
        assert "would be sent" in dry

        place.dlq("fix", "--reason", "bad_time", "--python", milliseconds, "--yes")
        place.dlq("fix", "0/0", f"{place.topic}/0/2", "0/5", "--python", "event", "--yes")
        jq = place.dlq("fix", "--reason", "not_avro", "--jq", FROM_JSON, "-y", "--format", "json")
        assert (jq["sent"], jq["refused"], jq["left_alone"]) == (1, 0, 0)
        place.dlq("fix", "--reason", "unknown_schema", "--schema", str(SCHEMA_FILE), "--yes")
        assert set(place.states().values()) == {"fixed"}
        place.wait_for(2 * len(BAD), worker)

        again = place.dlq("fix", "--all", "--python", "event", "--yes", "--format", "json")
        assert (again["sent"], again["resolved_before"]) == (0, len(BAD))
        place.dlq("fix", "0/2", "--again", "--python", "event", "--yes")
        place.dlq("fix", "0/1", "--again", "--jq", FROM_JSON, "--yes")
        place.wait_for(2 * len(BAD) + 2, worker)
    [(topic_id,)] = place.lake.rows("select distinct topic_id from lake_event_files")
    made = [f"dead-letter:{topic_id}:0:{offset}" for offset in (FOREIGN, NO_ID)]
    assert place.stored() == [(event_id, 1) for event_id in [*made, "id-0", "id-2", "id-3", "id-4"]]
    [(tool, took)] = place.lake.rows("select tool_name, duration_ms from tools")
    assert (tool, took) == ("crawl", 12.0)
    history = place.dlq("show", "0/3")
    assert f"fixed by python: {milliseconds} as event id-3" in history


async def crash(*arguments: object) -> None:
    """Be gone before the letters are marked."""
    del arguments
    raise Crashed


def test_a_crash_between_event_and_mark_stores_the_event_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.send([BAD[NO_ID], BAD[OTHERS_KEY]])
    with place.worker() as worker:
        place.wait_for(2, worker)

        with monkeypatch.context() as patch:
            patch.setattr(DeadLetterSender, "mark", crash)
            with pytest.raises(Crashed):
                place.dlq("fix", "--all", "--python", "event", "--yes")
        place.wait_for(4, worker)
        assert set(place.states().values()) == {"open"}
        place.dlq("fix", "--all", "--python", "event", "--yes")
        place.wait_for(6, worker)
        assert set(place.states().values()) == {"fixed"}
    assert [count for _, count in place.stored()] == [1, 1]
    assert place.lake.rows("select events from runs") == [(2,)]


def test_records_are_redriven_as_they_were_once_they_can_be_read(
    place: Place, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish() -> None:
        async with KafkaPublisher(
            place.bootstrap, topic=place.topic, schema_registry=registry.url
        ) as publisher:
            for number in range(3):
                await publisher.publish({**FIELDS, "event_id": f"id-{number}"})

    asyncio.run(publish())
    with place.worker() as worker:  # which knows of no registry
        place.wait_for(3, worker)
        worker.stop()
    monkeypatch.setenv("RUNFOLD_SCHEMA_REGISTRY", registry.url)
    with place.worker() as worker:
        outcome = place.dlq("redrive", "--reason", "unknown_schema", "--yes", "--format", "json")
        assert (outcome["sent"], outcome["refused"]) == (3, 0)
        place.wait_for(6, worker)
    assert set(place.states().values()) == {"redriven"}
    assert place.stored() == [("id-0", 1), ("id-1", 1), ("id-2", 1)]
    assert "as event id-1" in place.dlq("show", "0/1")


def test_a_worker_that_understands_too_little_halts_until_the_cap_is_raised(place: Place) -> None:
    good = [(b"run", ENCODE(event(number))) for number in range(500)]
    place.send([*good, *[(b"run", b"not avro")] * 1500])
    for _ in range(2):
        with place.worker() as worker:
            wait_until(lambda: worker.process.poll() is not None, "it halts", workers=[worker])
            assert worker.process.returncode == 1
            said = worker.said()
        assert "records could not become events, more than the 50%" in said
        assert "not_avro: the value begins with 6e6f7420" in said
        assert f"{place.topic} partition 0 offset 0; nothing from there on" in said
        assert place.lake.accounted() == 0
        assert place.dlq("ls", "--format", "json") == []
    with place.worker("--dead-letter-cap", "1") as worker:
        place.wait_for(2000, worker)
    [group] = place.dlq("ls", "--format", "json")
    assert (group["reason"], group["letters"], group["open"]) == ("not_avro", 1500, 1500)


class Terminal(io.StringIO):
    """What somebody types."""

    def isatty(self) -> bool:
        return True


def test_whoever_sits_at_a_terminal_is_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(place.dead_letter(BAD[OTHERS_KEY]))
    words = ["fix", "--all", "--python", "event"]
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert "1 to send, 0 refused, 0 left alone" in (said := place.dlq(*words))
    assert "nothing was sent" in said
    assert place.states() == {"0/7": "open"}
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    place.dlq(*words)
    assert place.states() == {"0/7": "fixed"}


def test_what_is_no_letter_is_told_and_the_letters_are_listed(place: Place) -> None:
    asyncio.run(place.dead_letter(BAD[OTHERS_KEY]))

    async def send_junk() -> None:
        async with AIOKafkaProducer(bootstrap_servers=place.bootstrap) as producer:
            await producer.send_and_wait(DEAD_LETTERS.name, b"junk", key=b"junk")

    asyncio.run(send_junk())
    said = place.dlq("ls")
    assert "neither letters nor marks" in said
    assert "key_mismatch" in said


def test_a_wrong_use_says_what_is_wrong(place: Place) -> None:
    for words, said in (
        (["fix", "--all"], "one of --python, --jq and --schema"),
        (["fix", "--python", "event"], "say which letters"),
        (["fix", "0/1", "--all", "--python", "event"], "either KEYs or"),
        (["fix", "--all", "--python", "event"], "add --yes"),
        (["fix", "--all", "--python", "event |", "--yes"], "no expression"),
        (["ls", "--reason", "nonsense"], "no reason 'nonsense'"),
        (["ls", "--since", "noon"], "not a time"),
    ):
        assert said in place.dlq(*words, code=2)
    assert "no dead letters of" in place.dlq("ls")
