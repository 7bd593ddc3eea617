"""What an audit finds in the files and the states of a lake."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.audit.report import Finding
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import parse_file_name
from tests.audits import audited, kinds, log_of
from tests.lake_logs import Log, Worker, logs, true_states
from tests.lakes_of_events import LakeOfEvents, event
from tests.plants import PLANTS

PRODUCER = "rf00000000000000000001.1"
FLUSHES, EVENTS_A_FLUSH = 6, 20


def fill(root: Path) -> LakeOfEvents:
    """Write some flushes of one run."""
    lake = LakeOfEvents(root)
    for flush in range(FLUSHES):
        first = flush * EVENTS_A_FLUSH
        lake.put(
            *(
                event("r", "llm.called", each, event_id=f"{PRODUCER}-{each + 1}", input_tokens=7)
                for each in range(first, first + EVENTS_A_FLUSH)
            )
        )
    return lake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a lake in which nothing is wrong."""
    return fill(tmp_path / "lake").root


def events_files(root: Path) -> list[Path]:
    return sorted(root.glob("a-topic/events/*/*/p*.parquet"), key=lambda path: path.name)


def states_files(root: Path) -> list[Path]:
    return sorted(root.glob("a-topic/states/p*.parquet"))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the rows of a file and leave its labels as they are."""
    labels = pq.read_metadata(path).metadata
    pq.write_table(change(pq.read_table(path)).replace_schema_metadata(labels), path)


def only(findings: list[Finding], kind: str) -> Finding:
    [finding] = [each for each in findings if each.kind == kind]
    return finding


def test_a_lake_as_workers_write_it_balances(root: Path) -> None:
    report = audited(root, log_of(0, 120))
    assert report.ok
    assert report.notes == []
    assert report.checked == {
        "partitions": 1,
        "files": 12,
        "offsets": 120,
        "runs": 1,
        "events": 120,
    }


def test_an_empty_lake_balances(tmp_path: Path) -> None:
    LocalLake(tmp_path)
    assert audited(tmp_path).ok


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(logs(), st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=8))
def test_the_sums_of_the_audit_are_those_of_the_fold(
    tmp_path_factory: pytest.TempPathFactory, log: Log, turns: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("lake")
    lake = LocalLake(root)
    workers = [Worker(lake, log), Worker(lake, log)]
    for who, records in turns:
        workers[who].write(records)
    Worker(lake, log).write(len(log.offsets))
    report = audited(root)
    # Ids are drawn at random, so numbers are missing; offsets have gaps, so records are too.
    assert set(kinds(report)) <= {"missing_events", "records_short"}
    missing = {
        (state.run_id, producer): [[hole.first, hole.last] for hole in holes]
        for state in true_states(log.folded_to(10**9))
        for producer, holes in state.seen.missing().items()
    }
    named = [each.facts for each in report.findings if each.kind == "missing_events"]
    assert {(each["run_id"], each["producer"]): each["ranges"] for each in named} == missing


ODD_COSTS = (2.7e-9, -2.7e-9, 0.1, 1e5, 1e5 + 1, float("nan"), float("inf"), float("-inf"))
ODD_TOKENS = (10**12, 10**12 + 1, -(10**12), -(10**12) - 1, 2**62, -5)
ODD_STATUSES = (" Failure\n", "FAILED", "error", "timeout", "canceled", "", "odd")


def test_odd_values_add_up_as_in_the_fold(tmp_path: Path) -> None:
    lake = LakeOfEvents(tmp_path)
    lake.put(*(event("r", "llm.called", cost_usd=each) for each in ODD_COSTS))
    lake.put(*(event("r", "llm.called", output_tokens=each) for each in ODD_TOKENS))
    lake.put(*(event("r", "tool.ended", status=each) for each in ODD_STATUSES))
    assert audited(lake.root).ok


def test_a_deleted_events_file_is_a_hole(root: Path) -> None:
    gone = events_files(root)[2]
    gone.unlink()
    report = audited(root, log_of(50, 120))
    hole = only(report.findings, "hole")
    assert hole.facts | {"files": "events", "first": 40, "last": 59} == hole.facts
    assert hole.facts["in_log"] is False
    assert only(audited(root, log_of(0, 120)).findings, "hole").facts["in_log"] is True
    assert only(report.findings, "missing_events").facts["ranges"] == [[41, 60]]
    assert only(report.findings, "state_differs").facts["fields"]["events"] == {
        "state": 120,
        "events": 100,
    }


def test_a_deleted_states_file_is_a_hole(root: Path) -> None:
    states_files(root)[0].unlink()
    [hole] = audited(root, log_of(0, 120)).findings
    assert (hole.facts["files"], hole.facts["first"], hole.facts["last"]) == ("states", 0, 19)


def test_events_without_states_yet_are_no_mistake(root: Path) -> None:
    states_files(root)[-1].unlink()
    report = audited(root, log_of(0, 120))
    assert report.ok
    [note] = report.notes
    assert (note.kind, note.facts["records"]) == ("lag", 20)


def test_an_events_file_that_reaches_beyond_the_states_is_read_as_far_as_they_do(
    root: Path, tmp_path: Path
) -> None:
    written = [f"{PRODUCER}-{each + 1}" for each in range(FLUSHES * EVENTS_A_FLUSH)]
    merged = LakeOfEvents(tmp_path / "merged").put(
        *(
            event("r", "llm.called", each, event_id=event_id, input_tokens=7)
            for each, event_id in enumerate(written)
        )
    )
    [covering] = events_files(merged.root)
    shutil.copy(covering, events_files(root)[0].with_name(covering.name))
    states_files(root)[-1].unlink()
    report = audited(root, log_of(0, 120))
    assert report.ok
    assert report.checked["events"] == 100


def test_states_without_their_events_are_a_hole(root: Path) -> None:
    events_files(root)[-1].unlink()
    assert "hole" in kinds(audited(root))


def test_what_the_log_lost_before_the_lake_had_it_is_named(root: Path) -> None:
    [finding] = audited(root, log_of(130, 150)).findings
    assert finding.kind == "cut_off"
    assert (finding.facts["first"], finding.facts["last"]) == (120, 129)


def test_a_lake_ahead_of_its_log_is_named(root: Path) -> None:
    assert kinds(audited(root, log_of(0, 100))) == ["lake_ahead"]


def test_another_log_says_nothing_about_this_one(root: Path) -> None:
    report = audited(root, log_of(130, 150, topic_id="made-anew"))
    assert report.ok
    assert [each.kind for each in report.notes] == ["lag"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 what is this PAR1"])
@pytest.mark.parametrize("kind", [events_files, states_files])
def test_a_file_that_cannot_be_read_is_named_and_its_range_a_hole(
    root: Path, kind: Callable[[Path], list[Path]], content: bytes
) -> None:
    bad = kind(root)[1]
    bad.write_bytes(content)
    report = audited(root)
    assert only(report.findings, "bad_file").facts["file"] == str(bad)
    assert (only(report.findings, "hole").facts["first"]) == 20


def test_a_file_of_another_topic_is_named(root: Path) -> None:
    LakeOfEvents(root.parent / "other", LogPartition("another", 0)).put(
        *(event("s", "custom", each) for each in range(20))
    )
    [foreign] = (root.parent / "other").glob("another/events/*/*/p*.parquet")
    shutil.copy(foreign, events_files(root)[0])
    finding = only(audited(root).findings, "bad_file")
    assert "another" in finding.says
    assert finding.facts["file"] == str(events_files(root)[0])


def test_a_superseded_file_is_not_looked_at(root: Path) -> None:
    covering = events_files(root)[1]
    inside = covering.with_name("p00-000000000025-000000000030.parquet")
    inside.write_bytes(b"not read by anybody")
    assert audited(root).ok


def test_a_file_whose_name_is_no_range_is_a_note(root: Path) -> None:
    stranger = events_files(root)[0].with_name("part-0.parquet")
    stranger.write_bytes(b"")
    report = audited(root)
    assert report.ok
    assert str(stranger) in [each.facts.get("file") for each in report.notes]


def test_a_file_that_a_worker_set_aside_is_a_note(root: Path) -> None:
    bad = states_files(root)[1]
    bad.write_bytes(b"PAR1")
    with pytest.raises(LakeCorrupt):
        list(LocalLake(root).states_of(LogPartition("a-topic", 0), {"r": 39, "unknown": 39}))
    [note] = [each for each in audited(root).notes if each.kind == "set_aside"]
    assert note.facts["file"].endswith(f"set-aside/states/{bad.name}")


def test_rows_in_disorder_and_outside_their_range_are_named(root: Path) -> None:
    first, second = events_files(root)[:2]
    rewrite(first, lambda table: table.take(list(reversed(range(table.num_rows)))))
    other = pq.read_table(events_files(root)[4])
    rewrite(second, lambda _: other)
    report = audited(root)
    assert only(report.findings, "rows_unordered").facts["file"] == str(first)
    assert only(report.findings, "rows_outside").facts["file"] == str(second)


def test_a_row_that_a_file_has_not_got_is_named_by_its_label(root: Path) -> None:
    path = events_files(root)[3]
    rewrite(path, lambda table: table.slice(0, 19))
    finding = only(audited(root).findings, "rows_and_label")
    assert finding.facts["file"] == str(path)
    assert (finding.facts["said"], finding.facts["found"]) == (20, 19)


def test_an_event_stored_twice_is_named(root: Path) -> None:
    def double(table: pa.Table) -> pa.Table:
        ids = pl.Series(table["event_id"]).to_list()
        ids[7] = ids[6]
        return table.set_column(table.schema.get_field_index("event_id"), "event_id", [ids])

    rewrite(events_files(root)[1], double)
    report = audited(root)
    finding = only(report.findings, "stored_twice")
    assert finding.facts["event_id"] == f"{PRODUCER}-27"
    assert finding.facts["offsets"] == [26, 27]
    assert only(report.findings, "missing_events").facts["ranges"] == [[28, 28]]


def test_a_foreign_id_stored_twice_is_named(tmp_path: Path) -> None:
    root = LakeOfEvents(tmp_path).put(*(event("r", "custom", each) for each in range(5))).root
    rewrite(
        events_files(root)[0],
        lambda table: table.set_column(
            table.schema.get_field_index("event_id"), "event_id", [["a", "b", "c", "b", "d"]]
        ),
    )
    assert only(audited(root).findings, "stored_twice").facts["offsets"] == [1, 3]


def test_a_run_without_a_state_and_a_state_without_a_run_are_named(root: Path) -> None:
    def renamed(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index("run_id"), "run_id", [["s"]])

    for path in states_files(root):
        rewrite(path, renamed)
    report = audited(root)
    assert kinds(report) == ["no_events", "no_state"]
    assert only(report.findings, "no_state").facts["run_id"] == "r"
    assert only(report.findings, "no_events").facts["run_id"] == "s"


def test_an_accepted_loss_is_told_and_no_mistake(root: Path) -> None:
    events_files(root)[0].unlink()
    LocalLake(root).accept_loss(LogPartition("a-topic", 0), OffsetRange(0, 19))
    report = audited(root)
    assert set(kinds(report)) == {"missing_events", "state_differs"}
    assert [each.facts["records"] for each in report.notes if each.kind == "accepted_loss"] == [20]


def first_offset(finding: Finding) -> int:
    parsed = parse_file_name(Path(finding.facts["file"]).name)
    assert parsed is not None
    return parsed[1].first


def test_planted_a_lost_event_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["drop"](monkeypatch, 20)
    findings = audited(fill(tmp_path).root).findings
    lost = only(findings, "missing_events")
    assert lost.facts["missing"] == sum(
        len(range(first, last + 1)) for first, last in lost.facts["ranges"]
    )
    short = [each for each in findings if each.kind == "records_short"]
    flushes = {(first - 1) // EVENTS_A_FLUSH for first, _ in lost.facts["ranges"]}
    assert {first_offset(each) // EVENTS_A_FLUSH for each in short} == flushes


def test_planted_an_event_folded_twice_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PLANTS["twice"](monkeypatch, 20)
    [finding] = audited(fill(tmp_path).root).findings
    counted = finding.facts["fields"]["events"]
    assert (finding.kind, finding.facts["run_id"]) == ("state_differs", "r")
    assert counted["state"] > counted["events"] == FLUSHES * EVENTS_A_FLUSH


def test_planted_a_range_written_one_short_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PLANTS["short-range"](monkeypatch, 4)
    findings = audited(fill(tmp_path).root).findings
    holes = [each.facts for each in findings if each.kind == "hole"]
    assert {(each["files"], each["first"], each["last"]) for each in holes} == {
        ("events", 79, 79),
        ("states", 79, 79),
    }
    assert only(findings, "missing_events").facts["ranges"] == [[80, 80]]


def test_planted_a_row_left_out_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS["short-rows"](monkeypatch, 4)
    findings = audited(fill(tmp_path).root).findings
    assert first_offset(only(findings, "rows_and_label")) == 60
    assert only(findings, "missing_events").facts["ranges"] == [[80, 80]]
