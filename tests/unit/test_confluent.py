"""Records framed with the ids of a schema registry.

The registry here answers the two requests that runfold makes as the registry's API says; it is not
the real program, which no package index carries.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runfold.processors.run_table import RunTable
from runfold.schemas.codec.confluent import RegistryIds
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.framing import Framing, confluent_header
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import EventRejected, RegistryUnavailable
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch

OTHER_SCHEMA = json.dumps({"type": "record", "name": "Other", "fields": []})
FIELDS = {"event_id": "a", "run_id": "r", "event_type": "custom", "occurred_at": 10**15}


class Registry(ThreadingHTTPServer):
    """Keeps schemas by id in memory; `broken` makes it answer 500."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.schemas: list[str] = [OTHER_SCHEMA, "no schema"]
        self.asked: list[str] = []
        self.broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Answers(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        number = int(self.path.rsplit("/", 1)[-1])
        known = dict(enumerate(self.server.schemas, start=1))
        self.answer(200 if number in known else 404, {"schema": known.get(number)})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["schema"] not in self.server.schemas:
            self.server.schemas.append(body["schema"])
        self.answer(200, {"id": self.server.schemas.index(body["schema"]) + 1})

    def answer(self, code: int, body: dict[str, Any]) -> None:
        self.send_response(500 if self.server.broken else code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_is_registered_is_written_and_read_by_its_id(registry: Registry) -> None:
    schema_id = RegistryIds(registry.url, "event").register("runfold.events-value")
    assert RegistryIds(registry.url, "event").register("runfold.events-value") == schema_id
    value = SparseEncoder(latest("event"), confluent_header(schema_id))(FIELDS)
    assert value[:5] == b"\0" + schema_id.to_bytes(4, "big")
    ids = RegistryIds(registry.url, "event")
    framing = Framing("event", ids)
    assert decode_event(value, framing).run_id == "r"
    assert decode_event(value, framing).event_id == "a"
    assert registry.asked == [f"/schemas/ids/{schema_id}"]
    assert list(ids) == [schema_id]


@pytest.mark.parametrize("schema_id", [1, 2, 99])
def test_an_id_that_names_no_version_of_ours_is_an_unknown_schema(
    registry: Registry, schema_id: int
) -> None:
    framing = Framing("event", RegistryIds(registry.url, "event"))
    with pytest.raises(EventRejected, match=f"unknown_schema: .*registry id {schema_id}"):
        decode_event(confluent_header(schema_id) + b"body", framing)


def test_while_the_registry_does_not_answer_nothing_is_decided(registry: Registry) -> None:
    schema_id = RegistryIds(registry.url, "event").register("runfold.events-value")
    value = SparseEncoder(latest("event"), confluent_header(schema_id))(FIELDS)
    registry.broken = True
    framing = Framing("event", RegistryIds(registry.url, "event"))
    table = RunTable(LogPartition("a-topic", 0), 0, framing=framing)
    batch = RecordBatch(LogPartition("a-topic", 0), 0, [0], [0], [b"r"], [value])
    with pytest.raises(RegistryUnavailable, match="answers 500"):
        table.take(batch)
    assert table.pending() is None
    registry.broken = False
    table.take(batch)
    assert table.state("r") is not None
    assert table.dead_letters == []
