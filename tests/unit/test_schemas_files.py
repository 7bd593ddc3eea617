"""The schema files: their examples, what they promise, and that they do not change any more."""

from __future__ import annotations

import io
import json
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema
from runfold.schemas.codec.decoder import decode
from runfold.schemas.codec.framing import SINGLE_OBJECT_HEADER_BYTES, Framing
from runfold.schemas.codec.registry import (
    SchemaVersion,
    avro_folder,
    latest,
    schema_names,
    schema_versions,
)
from runfold.schemas.compatibility import incompatibilities, incompatible_versions
from runfold.schemas.event import EVENT_FIELDS, REQUIRED_EVENT_FIELDS
from runfold.schemas.topic import all_topics

ALL_VERSIONS = [version for name in schema_names() for version in schema_versions(name)]


def ids(version: SchemaVersion) -> str:
    return f"{version.name}.v{version.version}"


def examples_of(version: SchemaVersion) -> dict[str, Any]:
    path = avro_folder() / "examples" / f"{ids(version)}.json"
    examples: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return examples


def with_bytes(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    if isinstance(value, dict):
        return {key: with_bytes(each) for key, each in value.items()}
    return [with_bytes(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=ids)
def test_a_schema_is_what_it_was_when_its_examples_were_made(version: SchemaVersion) -> None:
    assert examples_of(version)["fingerprint"] == version.fingerprint.hex()


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=ids)
def test_every_example_decodes_to_its_record(version: SchemaVersion) -> None:
    for example in examples_of(version)["examples"]:
        decoded = decode(bytes.fromhex(example["encoded"]), Framing(version.name))
        wanted = with_bytes(example["record"])
        assert {name: decoded[name] for name in wanted} == wanted


@pytest.mark.parametrize("reader", ALL_VERSIONS, ids=ids)
@pytest.mark.parametrize("writer", ALL_VERSIONS, ids=ids)
def test_both_avro_implementations_read_every_version_by_every_other(
    reader: SchemaVersion, writer: SchemaVersion
) -> None:
    if reader.name != writer.name:
        assert incompatibilities(reader.definition, writer.definition)
        return
    for example in examples_of(writer)["examples"]:
        body = bytes.fromhex(example["encoded"])[SINGLE_OBJECT_HEADER_BYTES:]
        by_fastavro = fastavro.schemaless_reader(io.BytesIO(body), writer.parsed, reader.parsed)
        by_avro = avro.io.DatumReader(
            avro.schema.parse(json.dumps(writer.parsed)),
            avro.schema.parse(json.dumps(reader.parsed)),
        ).read(avro.io.BinaryDecoder(io.BytesIO(body)))
        assert by_avro == by_fastavro


def test_no_version_is_incompatible_with_another() -> None:
    assert incompatible_versions() == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "extra", "type": "string"}, "extra: is not written and has no default"),
        ({"name": "run_id", "type": "long"}, "run_id: string is not read as long"),
        ({"name": "model", "type": "string"}, "model: null is not read as string"),
        ({"name": "model", "type": ["null", "long"]}, "model: no branch takes string"),
    ],
)
def test_an_incompatible_change_is_refused_by_its_field(
    change: dict[str, Any], problem: str
) -> None:
    event = latest("event").definition
    kept = [each for each in event["fields"] if each["name"] != change["name"]]
    assert incompatibilities({**event, "fields": [*kept, change]}, event) == [problem]


def test_a_new_field_with_a_default_is_compatible_both_ways() -> None:
    event = latest("event").definition
    added = {"name": "extra", "type": ["null", "string"], "default": None}
    newer = {**event, "fields": [*event["fields"], added]}
    assert incompatibilities(newer, event) == []
    assert incompatibilities(event, newer) == []


def test_the_event_class_has_the_fields_of_its_schema() -> None:
    event = latest("event")
    assert event.field_names == EVENT_FIELDS
    required = [f["name"] for f in event.definition["fields"] if not isinstance(f["type"], list)]
    assert tuple(required) == REQUIRED_EVENT_FIELDS


def test_the_lake_has_the_fields_of_the_schemas() -> None:
    assert tuple(lake_event_schema().names[: len(EVENT_FIELDS)]) == EVENT_FIELDS
    assert tuple(lake_state_schema().names) == latest("run_state").field_names


def test_every_topic_carries_a_schema_that_exists() -> None:
    topics = all_topics()
    assert {"runfold.events", "runfold.dead-letters"} <= {each.name for each in topics}
    for topic in topics:
        assert topic.schema in schema_names()
        assert topic.max_event_bytes <= int(topic.config["max.message.bytes"])
