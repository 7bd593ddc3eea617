"""What dead letters become: by an expression, by a schema, or as they are."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.processors.letter_plans import Plan, plan_fix, plan_redrive
from runfold.processors.letter_repairs import JqRepair, PythonRepair, Repair, SchemaRepair
from runfold.producers.demo.bad_records import bad_records
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.framing import SINGLE_OBJECT_HEADER_BYTES
from runfold.schemas.codec.partial import read_what_can_be
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.kept_letter import KeptLetter, RecordPlace
from tests.event_strategies import logs

ENCODE = SparseEncoder(latest("event"))
GOOD = {"event_id": "e-1", "run_id": "r", "event_type": "custom", "occurred_at": 10**15}
FOREIGN = {"run_id": "r", "event_type": "custom", "occurred_at": "2026-11-21T08:00:00+01:00"}


def letter(value: bytes | None, key: bytes | None = b"r", offset: int = 7) -> KeptLetter:
    place = RecordPlace("events", "an-id", 3, offset)
    return KeptLetter(place, 10**15, "bad_body", "why", key, value)


def fixed(value: bytes | None, repair: Repair, key: bytes | None = b"r") -> Plan:
    [plan] = plan_fix([letter(value, key)], repair)
    return plan


def test_of_every_kind_of_bad_record_as_much_is_read_as_there_is() -> None:
    readable = {
        str(bad.reason): read_what_can_be(bad.value)
        for bad in bad_records(1, 1_763_000_000 * 10**6)
    }
    assert readable["not_avro"].event == {"event": "this is JSON, not Avro"}
    assert readable["unknown_schema"].event is None
    assert readable["no_value"].event is None
    assert readable["bad_time"].event["agent_name"] == "broken-agent"
    assert list(readable["bad_body"].event) == ["event_id", "run_id", "event_type", "occurred_at"]
    assert readable["bad_body"].ends_at == "agent_name"


@given(logs().filter(bool), st.data())
def test_of_a_cut_record_the_fields_before_the_cut_are_read(log: Any, data: st.DataObject) -> None:
    event = log[0].event
    whole = ENCODE({name: getattr(event, name) for name in event.__slots__})
    cut = data.draw(st.integers(SINGLE_OBJECT_HEADER_BYTES, len(whole)))
    readable = read_what_can_be(whole[:cut])
    assert repr(readable.event) == repr({name: getattr(event, name) for name in readable.event})
    assert (readable.ends_at is None) == (cut == len(whole))


@given(st.binary(max_size=300))
def test_no_bytes_at_all_stop_the_reading(value: bytes) -> None:
    header = ENCODE(GOOD)[:SINGLE_OBJECT_HEADER_BYTES]
    read_what_can_be(value)
    read_what_can_be(header + value)
    plan_redrive([letter(value), letter(header + value)])


def test_what_a_worker_would_take_now_is_redriven_and_the_rest_is_told_why_not() -> None:
    plans = plan_redrive([letter(ENCODE(GOOD)), letter(b"junk"), letter(None), letter(b"", None)])
    assert plans[0].event == GOOD
    assert [str(each.refused).split(":")[0] for each in plans] == [
        "None", "not_avro", "no_value", "no_key"
    ]  # fmt: skip


def test_python_sees_all_that_is_known_of_a_letter() -> None:
    repair = PythonRepair(
        "{'run_id': key.decode(), 'event_type': reason, 'name': message, 'occurred_at': 10**15,"
        " 'items_failed': offset, 'agent_name': value.decode() + str(event)}"
    )
    plan = fixed(b"[1]", repair)
    assert plan.event == {
        "event_id": "dead-letter:an-id:3:7",
        "run_id": "r",
        "event_type": "bad_body",
        "name": "why",
        "occurred_at": 10**15,
        "items_failed": 7,
        "agent_name": "[1][1]",
    }


def test_an_event_keeps_the_id_it_has_and_loses_what_is_none() -> None:
    plan = fixed(ENCODE(GOOD), PythonRepair("event | {'name': None}"), key=b"other")
    assert plan.event == GOOD


def test_a_repair_that_changes_the_event_in_place_leaves_what_is_shown_as_it_was() -> None:
    plan = fixed(ENCODE(GOOD), PythonRepair("event.update(name='n') or event"))
    assert plan.before.event == GOOD
    assert plan.event == {**GOOD, "name": "n"}


def test_times_and_attributes_may_be_given_as_people_write_them() -> None:
    expression = "event | {'attributes': {'a': 1}}"
    plan = fixed(json.dumps(FOREIGN).encode(), PythonRepair(expression))
    assert plan.event is not None
    assert plan.event["occurred_at"] == 1_795_244_400_000_000
    assert plan.event["attributes"] == '{"a":1}'


@pytest.mark.parametrize("value", [b"junk", None])
def test_none_leaves_a_letter_alone(value: bytes | None) -> None:
    plan = fixed(value, PythonRepair("event"))
    assert (plan.event, plan.refused) == (None, None)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("[event]", "a list where an event"),
        ("event | {'nmae': 'x'}", "'nmae' is missing or unknown"),
        ("event | {'name': 5}", "'name': a string is needed"),
        ("event | {'run_id': None}", "'run_id' is missing"),
        ("event | {'run_id': ''}", "missing_id"),
        ("event | {'occurred_at': 1}", "bad_time"),
        ("event | {'occurred_at': 'noon'}", "'occurred_at'"),
        ("event | {'name': 'x' * 2_000_000}", "too_large"),
    ],
)
def test_what_is_no_event_is_refused_by_what_the_fold_would_say(expression: str, said: str) -> None:
    plan = fixed(ENCODE(GOOD), PythonRepair(expression))
    assert plan.event is None
    assert said in str(plan.refused)


def test_refusals_stay_with_their_letters() -> None:
    values = [ENCODE(GOOD), b"junk", ENCODE({**GOOD, "occurred_at": 1}), ENCODE(GOOD)]
    letters = [letter(value, offset=offset) for offset, value in enumerate(values)]
    plans = plan_fix(letters, PythonRepair("event"))
    assert [each.letter.place.offset for each in plans] == [0, 1, 2, 3]
    assert [bool(each.event) for each in plans] == [True, False, False, True]
    assert [bool(each.refused) for each in plans] == [False, False, True, False]


def test_jq_gets_one_document_and_gives_the_event() -> None:
    value = json.dumps(FOREIGN).encode()
    program = ".event + {name: .key, user_id: .value, items_failed: .offset, status: .reason}"
    plan = fixed(value, JqRepair(program))
    assert plan.event is not None
    assert plan.event["name"] == "r"
    assert plan.event["user_id"] == base64.b64encode(value).decode()
    assert (plan.event["items_failed"], plan.event["status"]) == (7, "bad_body")


@pytest.mark.parametrize("program", ["empty", "null", "select(.offset == 8)"])
def test_jq_leaves_a_letter_alone_by_giving_nothing(program: str) -> None:
    plan = fixed(ENCODE(GOOD), JqRepair(program))
    assert (plan.event, plan.refused) == (None, None)


@pytest.mark.parametrize(
    ("program", "said"), [(".event.run_id.x", "jq"), ("repeat(1)", "several results"), ("1", "int")]
)
def test_a_jq_program_that_gives_no_event_is_told(program: str, said: str) -> None:
    assert said in str(fixed(ENCODE(GOOD), JqRepair(program)).refused)


def test_a_missing_jq_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jq", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'runfold\[jq\]'"):
        JqRepair(".")


def newer_schema(path: Path, **changes: Any) -> Path:
    """Write our schema with another field first, and another name for an event."""
    definition = latest("event").definition
    fields = [{"name": "extra", "type": "int"}, *definition["fields"]]
    text = json.dumps({**definition, "name": "Fact", "fields": fields, **changes})
    path.write_text(text, "utf-8")
    return path


def written_with(path: Path, event: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.schema.load_schema(str(path)), event)
    return stream.getvalue()


@pytest.mark.parametrize("header", [b"", b"\xc3\x01unknown!", b"\x00\x00\x00\x00\x07"])
def test_what_another_schema_wrote_is_read_by_ours(tmp_path: Path, header: bytes) -> None:
    path = newer_schema(tmp_path / "event.v9.avsc")
    event = {"extra": 5, **GOOD, "occurred_at": 10**15, "model": "m"}
    plan = fixed(header + written_with(path, event), SchemaRepair(path))
    assert plan.event == {**GOOD, "model": "m"}


def test_bytes_that_the_schema_did_not_write_are_refused(tmp_path: Path) -> None:
    repair = SchemaRepair(newer_schema(tmp_path / "event.v9.avsc"))
    body = written_with(tmp_path / "event.v9.avsc", {"extra": 5, **GOOD, "occurred_at": 10**15})
    assert "left over" in str(fixed(body + b"x", repair).refused)
    assert "no value" in str(fixed(None, repair).refused)
    assert "by the record's key" in str(fixed(body, repair, key=b"other").refused)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ('"string"', "not the schema of a record"),
        ('{"type": "record", "fields": [{"name": "a", "type": "nothing"}]}', "no Avro schema"),
        ('{"type": "record", "fields": []}', "event_id: is not written"),
    ],
)
def test_a_file_that_is_no_schema_of_events_is_a_wrong_use(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "x.avsc"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=said):
        SchemaRepair(path)


@pytest.mark.parametrize(
    ("make", "text"), [(PythonRepair, "event |"), (PythonRepair, "x = 1"), (JqRepair, ".event |")]
)
def test_what_does_not_compile_is_a_wrong_use(make: Any, text: str) -> None:
    with pytest.raises(ConfigurationError):
        make(text)


def test_what_is_noted_on_a_letter_says_what_repaired_it(tmp_path: Path) -> None:
    assert PythonRepair("event").by == "python: event"
    assert JqRepair(".event").by == "jq: .event"
    assert SchemaRepair(newer_schema(tmp_path / "v9.avsc")).by.startswith("schema: v9.avsc ")
