"""The sparse encoder, checked by two other implementations of Avro."""

from __future__ import annotations

import io
import json
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas.codec.encoder import SparseEncoder, encode_long
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import EventRejected
from runfold.schemas.event import EVENT_FIELDS

EVENT = latest("event")
_LONGS = st.integers(-(2**63), 2**63 - 1)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def _values(avro_type: Any) -> st.SearchStrategy[Any]:
    kind = avro_type[-1] if isinstance(avro_type, list) else avro_type
    kind = kind["type"] if isinstance(kind, dict) else kind
    return {"string": _TEXTS, "long": _LONGS, "double": st.floats(allow_nan=False)}[kind]


_BY_NAME = {each["name"]: _values(each["type"]) for each in EVENT.definition["fields"]}
sparse_events = st.fixed_dictionaries(
    {name: _BY_NAME[name] for name in EVENT_FIELDS[:4]},
    optional={name: st.none() | _BY_NAME[name] for name in EVENT_FIELDS[4:]},
)
encode = SparseEncoder(EVENT, header=b"")


def _shuffled(event: dict[str, Any], seed: int) -> dict[str, Any]:
    return dict(sorted(event.items(), key=lambda item: hash((item[0], seed))))


@given(sparse_events, st.integers(0, 10))
def test_an_event_is_encoded_to_the_bytes_that_fastavro_writes(
    event: dict[str, Any], seed: int
) -> None:
    expected = io.BytesIO()
    fastavro.schemaless_writer(expected, EVENT.parsed, event)
    assert encode(_shuffled(event, seed)) == expected.getvalue()


@given(sparse_events)
def test_fastavro_reads_what_was_encoded(event: dict[str, Any]) -> None:
    read = fastavro.schemaless_reader(io.BytesIO(encode(event)), EVENT.parsed, None)
    assert read == {**dict.fromkeys(EVENT_FIELDS), **event}


@given(sparse_events)
def test_the_reference_implementation_reads_what_was_encoded(event: dict[str, Any]) -> None:
    schema = avro.schema.parse(json.dumps(EVENT.parsed))
    reader = avro.io.DatumReader(schema, schema)
    read = reader.read(avro.io.BinaryDecoder(io.BytesIO(encode(event))))
    assert read == {**dict.fromkeys(EVENT_FIELDS), **event}


@given(_LONGS)
def test_a_long_is_written_as_fastavro_writes_it(number: int) -> None:
    expected = io.BytesIO()
    fastavro.schemaless_writer(expected, fastavro.parse_schema("long"), number)
    assert encode_long(number) == expected.getvalue()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        encode_long(number)


_MINIMAL = {"event_id": "e", "run_id": "r", "event_type": "t", "occurred_at": 1}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"event_id": None}, "event_id"),
        ({"occurred_at": "now"}, "occurred_at"),
        ({"occurred_at": 1.0}, "occurred_at"),
        ({"input_tokens": "12"}, "input_tokens"),
        ({"input_tokens": True}, "input_tokens"),
        ({"input_tokens": 2**63}, "input_tokens"),
        ({"cost_usd": "1"}, "cost_usd"),
        ({"name": b"bytes"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"": 1}, "field '' is"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_by_the_name_of_its_field(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(EventRejected, match=named) as refused:
        encode({**_MINIMAL, **change})
    assert refused.value.reason == "bad_body"
