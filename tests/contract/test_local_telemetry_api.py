"""The runs API of the Local Telemetry Platform, as its clients see it, over a real Kafka.

The numbers are those of the black-box checks that a replacement has to pass.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runfold.deploy.embedded import KafkaServer
from runfold.producers.compat.local_telemetry.helpers.cleanup_stale_runs import cleanup_stale_runs
from runfold.producers.compat.local_telemetry.http_client import HTTPAPIClient
from tests.collector_process import CollectorProcess
from tests.runs_api import (
    CLIENT_END,
    COLUMNS,
    RUNS,
    Api,
    client_start,
    minimal,
    named_fields,
    unique,
)

STATUSES = ["running", "success", "failure", "partial", "timeout", "cancelled"]


@pytest.fixture(scope="module")
def service(
    kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("runs-api")
    with CollectorProcess(kafka.bootstrap, unique("runs"), folder) as collector:
        yield collector


@pytest.fixture(scope="module")
def api(service: CollectorProcess) -> Iterator[Api]:
    with Api(service.url) as api:
        yield api


def test_1_a_run_of_five_fields_is_created_and_shows_at_once(api: Api) -> None:
    record = minimal()
    answer = api.post(record)
    assert answer.status_code == 201
    told = {"status": "created", "event_id": record["event_id"], "run_id": record["run_id"]}
    assert answer.json() == told
    row = api.row(record["event_id"])
    assert list(row) == [*COLUMNS, "commit_url", "repo_url"]
    counts = {name: 0 for name in COLUMNS if name.startswith("items_")}
    defaults = {
        "status": "running", "schema_version": 7, "duration_ms": 0, "api_posted": False,
        "api_retry_count": 0, **counts,
    }  # fmt: skip
    given = {name: row[name] for name in (*record, *defaults)}
    assert given == {**record, **defaults}
    assert datetime.fromisoformat(row["created_at"]).tzinfo is not None
    datetime.strptime(row["updated_at"], "%Y-%m-%d %H:%M:%S")
    told_of = {*record, *defaults, "id", "created_at", "updated_at"}
    assert {name for name, value in row.items() if value is not None} == told_of


def test_2_a_run_posted_twice_stays_as_it_was(api: Api) -> None:
    record = api.create()
    before, total = api.row(record["event_id"]), api.total()
    answer = api.post({**record, "agent_name": "another", "status": "failure"})
    assert answer.status_code == 201
    message = "Event already exists (idempotent)"
    told = {"status": "duplicate", "event_id": record["event_id"], "message": message}
    assert answer.json() == told
    assert api.row(record["event_id"]) == before
    assert api.total() == total


def test_3_of_fifty_posts_at_once_one_creates_the_run(api: Api) -> None:
    record, total = minimal(), api.total()
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: api.post(record), range(50)))
    assert Counter(each.json()["status"] for each in answers) == {"created": 1, "duplicate": 49}
    assert {each.status_code for each in answers} == {201}
    assert api.total() == total + 1


def test_4_what_the_client_posts_at_the_start_is_taken(api: Api) -> None:
    record = client_start()
    assert len(record) == 47
    assert api.post(record).json()["status"] == "created"
    row = api.row(record["event_id"])
    assert {**row, **record} == {**row, "record_type": "run", "api_posted": 0}
    assert row["api_posted"] is False


def test_5_what_the_client_sends_at_the_end_is_stored_and_shows_at_once(api: Api) -> None:
    record = client_start()
    api.post(record)
    answer = api.patch(record["event_id"], CLIENT_END)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["event_id"], told["updated"]) == (record["event_id"], True)
    assert told["fields_updated"] == [
        "status", "end_time", "duration_ms", "error_summary", "output_summary", "items_succeeded",
        "items_failed", "metrics_json", "items_discovered", "input_summary",
    ]  # fmt: skip
    row = api.row(record["event_id"])
    assert {**row, **CLIENT_END} == row


@pytest.mark.parametrize("name", ["event_id", "run_id", "agent_name", "job_type", "start_time"])
def test_6_a_required_field_that_is_missing_is_named(api: Api, name: str) -> None:
    record = minimal()
    assert named_fields(api.post({**record, name: None})) == [["body", name]]
    assert named_fields(api.post({**record, name: 5})) == [["body", name]]
    del record[name]
    assert named_fields(api.post(record)) == [["body", name]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics_json", '{"a": 1}'), ("metrics_json", []), ("context_json", "x"),
        ("git_commit_source", "human"), ("status", None), ("items_failed", None),
        ("items_failed", 1.5), ("items_failed", 10**30), ("api_posted", "perhaps"),
        ("duration_ms", "long"), ("product", 3),
    ],
)  # fmt: skip
def test_6_a_field_of_another_type_is_named(api: Api, name: str, value: Any) -> None:
    assert named_fields(api.post(minimal(**{name: value}))) == [["body", name]]


def test_values_are_coerced_as_before(api: Api) -> None:
    record = api.create(
        items_failed="3", items_skipped=2.0, duration_ms=None, api_posted="yes", metrics_json={},
        created_at=None, unknown=1, agent_owner=5, product="",
    )  # fmt: skip
    row = api.row(record["event_id"])
    assert (row["items_failed"], row["items_skipped"], row["duration_ms"]) == (3, 2, 0)
    assert (row["api_posted"], row["metrics_json"], row["agent_owner"]) == (True, None, None)


@pytest.mark.parametrize(
    ("said", "stored"),
    [("failed", "failure"), ("completed", "success"), ("succeeded", "success"),
     ("canceled", "cancelled"), *zip(STATUSES, STATUSES, strict=True)],
)  # fmt: skip
def test_7_spellings_of_a_status_are_stored_as_one(api: Api, said: str, stored: str) -> None:
    assert api.row(api.create(status=said)["event_id"])["status"] == stored
    in_batch, running = minimal(status=said), api.create()
    assert api.post([in_batch], "/batch").json()["inserted"] == 1
    assert api.row(in_batch["event_id"])["status"] == stored
    assert api.patch(running["event_id"], {"status": said}).status_code == 200
    assert api.row(running["event_id"])["status"] == stored


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [("status", "bogus", "status IN ("), ("items_failed", -1, "items_failed >= 0"),
     ("duration_ms", -5, "duration_ms >= 0"), ("api_retry_count", -1, "api_retry_count >= 0")],
)  # fmt: skip
def test_7_what_the_table_would_refuse_is_never_stored(
    api: Api, name: str, value: Any, check: str
) -> None:
    record = minimal(**{name: value})
    answer = api.post(record)
    assert answer.status_code == 400
    detail = answer.json()["detail"]
    assert detail.startswith(f"Database integrity error: CHECK constraint failed: {check}")
    assert api.http.get(f"{RUNS}/{record['event_id']}").status_code == 404


def test_8_a_change_of_nothing_is_refused(api: Api) -> None:
    record = api.create()
    for nothing in ({}, {"status": None, "end_time": None}, {"agent_name": "x", "colour": 1}):
        answer = api.patch(record["event_id"], nothing)
        assert (answer.status_code, answer.json()) == (
            400,
            {"detail": "No valid fields to update"},
        )
    for bad in ({"status": "bogus"}, {"duration_ms": -1}, {"metrics_json": "x"}):
        assert named_fields(api.patch(record["event_id"], bad)) == [["body", next(iter(bad))]]
        assert named_fields(api.patch("nobody", bad)) == [["body", next(iter(bad))]]
    for changes in ({}, {"status": "success"}):
        answer = api.patch("nobody", changes)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Run not found: nobody"})


def test_8_null_leaves_a_value_and_objects_are_replaced_whole(api: Api) -> None:
    record = api.create(metrics_json={"a": 1, "b": 2}, error_summary="was bad", product="p")
    api.patch(record["event_id"], {"metrics_json": {"c": 3}, "error_summary": None})
    row = api.row(record["event_id"])
    assert (row["metrics_json"], row["error_summary"], row["product"]) == ({"c": 3}, "was bad", "p")
    api.patch(record["event_id"], {"metrics_json": {}, "error_summary": "", "items_failed": 0})
    row = api.row(record["event_id"])
    assert (row["metrics_json"], row["error_summary"], row["items_failed"]) == ({}, "", 0)


def test_8_what_was_written_last_holds_whatever_times_it_names(api: Api) -> None:
    record = api.create()
    for status, end_time in [
        ("success", "2027-01-01T00:00:00Z"),
        ("failure", "2026-01-01T00:00:00Z"),
        ("running", "2026-06-01T00:00:00Z"),
        ("success", "2026-02-01T00:00:00Z"),
        ("running", "2026-06-01T00:00:00Z"),
        ("success", "2027-01-01T00:00:00Z"),
    ]:
        api.patch(record["event_id"], {"status": status, "end_time": end_time})
        row = api.row(record["event_id"])
        assert (row["status"], row["end_time"]) == (status, end_time)


def test_9_a_batch_tells_what_became_of_its_runs(api: Api) -> None:
    known, bad = api.create(), minimal(status="bogus")
    batch = [minimal(), known, minimal(), bad, minimal()]
    answer = api.post(batch, "/batch")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["inserted"], told["duplicates"], told["total"]) == (3, 1, 5)
    [error] = told["errors"]
    assert error.startswith(f"{bad['event_id']}: CHECK constraint failed: status IN (")
    again = api.post(batch, "/batch").json()
    assert (again["inserted"], again["duplicates"], len(again["errors"])) == (0, 4, 1)
    nothing = {"inserted": 0, "duplicates": 0, "errors": [], "total": 0}
    assert api.post([], "/batch").json() == nothing
    doubled = minimal()
    told = api.post([doubled, {**doubled, "agent_name": "late"}], "/batch").json()
    assert (told["inserted"], told["duplicates"]) == (1, 1)
    assert api.row(doubled["event_id"])["agent_name"] == "crawler"


def test_9_a_batch_with_what_is_no_run_is_not_stored_at_all(api: Api) -> None:
    good = minimal()
    answer = api.post([good, minimal(metrics_json="text")], "/batch")
    assert named_fields(answer) == [["body", 1, "metrics_json"]]
    assert api.http.get(f"{RUNS}/{good['event_id']}").status_code == 404


def test_a_batch_may_be_wrapped(api: Api) -> None:
    answer = api.post({"runs": [minimal(), minimal()]}, "/batch")
    assert answer.status_code == 201
    assert (answer.json()["created"], answer.json()["inserted"]) == (2, 2)
    assert named_fields(api.post({"items": []}, "/batch")) == [["body"]]


def test_the_end_of_a_run_that_was_cut_off_is_not_lost(api: Api) -> None:
    """The client buffers a run as it started and as it ended, with the same event_id."""
    start = client_start()
    end = {**start, **CLIENT_END, "created_at": None}
    told = api.post([start, end], "/batch").json()
    assert (told["inserted"], told["duplicates"], told["errors"]) == (1, 1, [])
    row = api.row(start["event_id"])
    assert {**row, **CLIENT_END} == row
    assert row["created_at"] == start["created_at"]
    api.patch(start["event_id"], {"status": "partial"})
    api.post([end], "/batch")
    assert api.row(start["event_id"])["status"] == "partial"


def test_10_a_list_has_each_filter_alone_and_all_together(api: Api) -> None:
    agent, job = unique("agent"), unique("job")
    ids = [
        api.create(
            agent_name=agent, job_type=job if n % 2 else "other",
            status="completed" if n > 3 else "running",
            created_at=f"2026-11-0{n + 1}T00:00:00+00:00", start_time=f"2026-10-0{n + 1}T00:00:00Z",
        )["event_id"]
        for n in range(6)
    ]  # fmt: skip
    newest_first = ids[::-1]
    assert api.ids(agent_name=agent) == newest_first
    assert api.ids(job_type=job) == [ids[5], ids[3], ids[1]]
    assert api.ids(agent_name=agent, status="succeeded") == [ids[5], ids[4]]
    here = {"agent_name": agent}
    assert api.ids(**here, created_before="2026-11-03T00:00:00Z") == [ids[1], ids[0]]
    assert api.ids(**here, created_after="2026-11-04T00:00:00Z") == [ids[5], ids[4]]
    assert api.ids(**here, start_time_from="2026-10-05T00:00:00Z") == [ids[5], ids[4]]
    assert api.ids(**here, start_time_to="2026-10-02") == [ids[1], ids[0]]
    together = {
        "job_type": job, "status": "running", "created_after": "2026-11-01",
        "created_before": "2026-11-04T12:00:00", "start_time_from": "2026-10-01",
        "start_time_to": "2026-10-04",
    }  # fmt: skip
    assert api.ids(**here, **together) == [ids[3], ids[1]]
    pages = [api.ids(**here, limit=2, offset=at) for at in (0, 2, 4, 6)]
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:], []]
    assert api.ids(agent_name=unique("nobody")) == []
    assert api.ids(agent_name=agent, status="", created_before="", event_id="x") == newest_first


def test_10_times_are_compared_as_instants(api: Api) -> None:
    agent = unique("agent")
    east = api.create(agent_name=agent, created_at="2026-11-05T01:00:00+02:00")["event_id"]
    utc = api.create(agent_name=agent, created_at="2026-11-05T00:00:00Z")["event_id"]
    assert api.ids(agent_name=agent) == [utc, east]
    assert api.ids(agent_name=agent, created_before="2026-11-04T23:30:00-00:00") == [east]
    query = f"agent_name={agent}&created_after=2026-11-05T01:30:00+02:00"
    found = api.http.get(f"{RUNS}?{query}").json()  # a plus that nobody has encoded
    assert [each["event_id"] for each in found] == [utc]
    assert api.row(east)["created_at"] == "2026-11-05T01:00:00+02:00"


def test_10_runs_that_were_created_at_once_have_an_order(api: Api) -> None:
    agent, at = unique("agent"), "2026-11-05T00:00:00Z"
    api.post([minimal(agent_name=agent, created_at=at) for _ in range(9)], "/batch")
    order = api.ids(agent_name=agent)
    pages = [each for n in range(9) for each in api.ids(agent_name=agent, limit=1, offset=n)]
    assert pages == order
    assert len(set(order)) == 9


@pytest.mark.parametrize(
    ("wanted", "detail"),
    [
        ({"status": "bogus"}, f"Invalid status. Must be one of: {STATUSES}"),
        ({"created_before": "x"}, "Invalid ISO8601 timestamp for created_before: 'x'"),
        ({"start_time_to": "13-01"}, "Invalid ISO8601 timestamp for start_time_to: '13-01'"),
    ],
)  # fmt: skip
def test_10_a_bad_filter_is_named(api: Api, wanted: dict[str, str], detail: str) -> None:
    answer = api.http.get(RUNS, params=wanted)
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})


@pytest.mark.parametrize("wanted", [{"limit": 0}, {"limit": 1001}, {"offset": -1}, {"limit": "x"}])
def test_10_a_page_outside_of_the_limits_is_refused(api: Api, wanted: dict[str, Any]) -> None:
    assert named_fields(api.http.get(RUNS, params=wanted)) == [["query", next(iter(wanted))]]


def test_11_stale_runs_are_found_and_cancelled(service: CollectorProcess, api: Api) -> None:
    agent = unique("agent")
    old = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    stale = api.create(agent_name=agent, created_at=old, start_time=old)
    api.create(agent_name=agent)
    first = cleanup_stale_runs(service.url, agent)
    assert (first["found"], first["cleaned"], first["failed"]) == (1, 1, 0)
    assert api.row(stale["event_id"])["status"] == "cancelled"
    assert cleanup_stale_runs(service.url, agent)["found"] == 0


def test_12_a_commit_is_associated(api: Api) -> None:
    record = api.create(git_repo="git@github.com:owner/project.git")
    path, commit = f"/{record['event_id']}/associate-commit", "0123456789abcdef"
    full = {
        "commit_hash": commit, "commit_source": "llm", "commit_author": "A <a@example.org>",
        "commit_timestamp": "2026-11-20T00:00:00Z",
    }  # fmt: skip
    answer = api.post(full, path)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "success", "event_id": record["event_id"], "run_id": record["run_id"],
        "commit_hash": commit,
    }  # fmt: skip
    row = api.row(record["event_id"])
    assert {f"git_{name}": row[f"git_{name}"] for name in full} == {
        f"git_{name}": value for name, value in full.items()
    }
    assert datetime.fromisoformat(row["updated_at"]).tzinfo is not None
    url = f"https://github.com/owner/project/commit/{commit}"
    assert row["commit_url"] == url
    assert api.http.get(f"{RUNS}/{record['event_id']}/commit-url").json() == {"commit_url": url}
    for source in ("manual", "ci", "llm"):
        api.post({"commit_hash": "zzzzzzz", "commit_source": source}, path)
        row = api.row(record["event_id"])
        assert (row["git_commit_hash"], row["git_commit_source"]) == ("zzzzzzz", source)
        assert row["git_commit_author"] is row["git_commit_timestamp"] is None
    assert api.post(full, path).status_code == 200
    assert api.row(record["event_id"])["git_commit_hash"] == commit


def test_12_a_bad_commit_is_refused(api: Api) -> None:
    path = f"/{api.create()['event_id']}/associate-commit"
    for bad in ("123456", "1" * 41):
        answer = api.post({"commit_hash": bad, "commit_source": "llm"}, path)
        assert named_fields(answer) == [["body", "commit_hash"]]
    answer = api.post({"commit_hash": "1234567", "commit_source": "human"}, path)
    assert named_fields(answer) == [["body", "commit_source"]]
    answer = api.post({"commit_hash": "1234567", "commit_source": "ci"}, "/nobody/associate-commit")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Run not found: nobody"})


@pytest.mark.parametrize(
    ("repo", "repo_url", "commit_url"),
    [
        ("git@github.com:o/r.git", "https://github.com/o/r", "https://github.com/o/r/commit/abcdef1"),
        ("https://gitlab.com/g/s/r", "https://gitlab.com/g/s/r",
         "https://gitlab.com/g/s/r/-/commit/abcdef1"),
        ("https://bitbucket.org/o/r.git", "https://bitbucket.org/o/r",
         "https://bitbucket.org/o/r/commits/abcdef1"),
        ("https://git.example.com/o/r.git", "https://git.example.com/o/r", None),
        ("https://user:secret@github.com/o/r", "https://github.com/o/r",
         "https://github.com/o/r/commit/abcdef1"),
        ("r", None, None),
        (None, None, None),
    ],
)  # fmt: skip
def test_12_links_to_repositories_and_commits(
    api: Api, repo: str | None, repo_url: str | None, commit_url: str | None
) -> None:
    one = f"{RUNS}/{api.create(git_repo=repo, git_commit_hash='abcdef1')['event_id']}"
    assert api.http.get(f"{one}/repo-url").json() == {"repo_url": repo_url}
    assert api.http.get(f"{one}/commit-url").json() == {"commit_url": commit_url}
    row = api.http.get(one).json()
    assert (row["repo_url"], row["commit_url"]) == (repo_url, commit_url)


@pytest.mark.parametrize("what", ["commit-url", "repo-url"])
def test_12_links_of_a_run_that_is_not_there(api: Api, what: str) -> None:
    answer = api.http.get(f"{RUNS}/nobody/{what}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Run not found: nobody"})


def test_13_health_totals_and_names(api: Api) -> None:
    health = api.http.get("/health").json()
    assert health.pop("db_path").endswith("runs.sqlite")
    expected = {"status": "ok", "version": "3.0.0", "journal_mode": "DELETE", "synchronous": "FULL"}
    assert health == expected
    agent = unique("agent")
    before = api.http.get("/metrics").json()
    api.post(
        [minimal(agent_name=agent, created_at="2020-01-01"), minimal(agent_name=agent)], "/batch"
    )
    totals = api.http.get("/metrics").json()
    assert totals["total_runs"] == before["total_runs"] + 2 == sum(totals["agents"].values())
    assert totals["agents"][agent] == 2
    assert totals["recent_24h"] == before["recent_24h"] + 1
    assert list(totals["agents"].values()) == sorted(totals["agents"].values(), reverse=True)
    assert totals["performance"].keys() == {"db_path", "journal_mode"}


def test_13_names_are_remembered_until_a_run_comes_or_changes(api: Api) -> None:
    def names() -> dict[str, Any]:
        found: dict[str, Any] = api.http.get("/api/v1/metadata").json()
        return found

    record = api.create()
    assert [names()["cache_hit"], names()["cache_hit"]] == [False, True]
    api.post(record)
    commit = {"commit_hash": "1234567", "commit_source": "ci"}
    api.post(commit, f"/{record['event_id']}/associate-commit")
    assert names()["cache_hit"] is True
    agent = unique("agent")
    api.create(agent_name=agent)
    found = names()
    assert found["cache_hit"] is False
    assert agent in found["agent_names"]
    assert found["agent_names"] == sorted(found["agent_names"])
    assert found["counts"] == {name: len(found[name]) for name in ("agent_names", "job_types")}
    assert names()["cache_hit"] is True
    api.patch(record["event_id"], {"status": "success"})
    assert names()["cache_hit"] is False


def test_prometheus_is_answered_at_the_same_path(api: Api) -> None:
    for headers in ({"Accept": "text/plain"}, {"X-Prometheus-Scrape-Timeout-Seconds": "10"}):
        answer = api.http.get("/metrics", headers=headers)
        assert "runfold_collector_requests_total{" in answer.text


def test_unknown_paths_methods_and_slashes_are_answered_as_before(api: Api) -> None:
    answer = api.http.get("/version")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    for method in ("PUT", "HEAD", "OPTIONS", "DELETE"):
        assert api.http.request(method, RUNS).status_code == 405
    assert api.http.put(RUNS).json() == {"detail": "Method Not Allowed"}
    assert api.http.get(f"{RUNS}/batch").json() == {"detail": "Run not found: batch"}
    answer = api.http.get(f"{RUNS}/?limit=1")
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(f"{RUNS}?limit=1")


def test_runs_that_share_a_run_id_are_runs_of_their_own(api: Api) -> None:
    run_id = unique("nightly")
    first, second = api.create(run_id=run_id, product="a"), api.create(run_id=run_id, host="b")
    api.patch(second["event_id"], {"status": "failure"})
    rows = [api.row(each["event_id"]) for each in (first, second)]
    assert [row["run_id"] for row in rows] == [run_id, run_id]
    assert [row["status"] for row in rows] == ["running", "failure"]
    assert [row["host"] for row in rows] == [None, "b"]


def test_14_with_a_token_writing_needs_it_and_reading_does_not(
    kafka: KafkaServer, service: CollectorProcess, tmp_path: Path
) -> None:
    told = {
        "TELEMETRY_API_AUTH_ENABLED": "true", "TELEMETRY_API_AUTH_TOKEN": "s3cret",
        "TELEMETRY_RATE_LIMIT_ENABLED": "true", "TELEMETRY_RATE_LIMIT_RPM": "24",
        "RUNFOLD_RUNS_API_DUPLICATE_STATUS": "200", "RUNFOLD_RUNS_API_INVALID_STATUS": "422",
    }  # fmt: skip
    with (
        CollectorProcess(kafka.bootstrap, service.topic, tmp_path, environment=told) as guarded,
        Api(guarded.url, Authorization="bearer s3cret") as api,
        Api(guarded.url) as open_api,
    ):
        record = minimal()
        assert api.post(record).status_code == 201
        _assert_refused(open_api, record["event_id"])
        for path in (
            "/health",
            "/metrics",
            "/api/v1/metadata",
            RUNS,
            f"{RUNS}/{record['event_id']}",
        ):
            assert open_api.http.get(path).status_code == 200
        assert api.post(record).status_code == 200
        assert named_fields(api.post(minimal(status="bogus"))) == [["body", "status"]]
        assert named_fields(api.post(minimal(items_failed=-1))) == [["body", "items_failed"]]
        answers = [api.http.get(RUNS) for _ in range(24)]
        assert {each.status_code for each in answers} == {200, 429}
        assert answers[-1].json() == {"detail": "Rate limit exceeded. Max 24 requests per minute."}
        limits = ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining")
        assert [answers[-1].headers[name] for name in limits] == ["60", "24", "0"]
        for path in ("/health", "/metrics"):
            assert api.http.get(path).status_code == 200
        assert open_api.post(record).status_code == 401


def _assert_refused(api: Api, event_id: str) -> None:
    one, use = f"{RUNS}/{event_id}", "Use: Authorization: Bearer <token>"
    protected = [
        ("POST", RUNS), ("POST", f"{RUNS}/batch"), ("PATCH", one),
        ("POST", f"{one}/associate-commit"), ("GET", f"{one}/commit-url"),
        ("GET", f"{one}/repo-url"),
    ]  # fmt: skip
    for header, detail in [
        (None, f"Authorization header required. {use}"),
        ("Basic abc", f"Invalid authorization format. {use}"),
        ("Bearer wrong", "Invalid authentication token"),
    ]:
        headers = {"Authorization": header} if header else {}
        for method, path in protected:
            answer = api.http.request(method, path, headers=headers, content=b"no JSON")
            assert (answer.status_code, answer.json()) == (401, {"detail": detail})
            assert answer.headers["WWW-Authenticate"] == "Bearer"


DEEP: dict[str, Any] = {}
for _ in range(900):
    DEEP = {"a": DEEP}

WILD: list[tuple[dict[str, Any], int]] = [
    ({"metrics_json": {"a": math.nan, "b": -math.inf}}, 201),
    ({"metrics_json": {"a": 10**40, "": 1, "b" * 100_000: 2}, "status": "success"}, 201),
    ({"metrics_json": DEEP}, 422),
    ({"product": "\ud800"}, 422),
    ({"context_json": {"\ud800": 1}}, 422),
    ({"product": "a\0b", "error_summary": "\0"}, 201),
    ({"run_id": "", "agent_name": "", "job_type": "", "start_time": "", "product": ""}, 201),
    ({"run_id": "x" * 5000, "output_summary": "y" * 200_000}, 201),
    ({"output_summary": "y" * 2_000_000}, 413),
    ({"error_summary": "y" * 600_000, "status": "failure"}, 413),
    ({"start_time": "0001-01-01T00:00:00+14:00", "created_at": "9999-12-31T23:59:59-14:00"}, 201),
    ({"start_time": "soon", "end_time": "late", "status": "timeout"}, 201),
    ({"items_failed": 2**63 - 1, "duration_ms": 2**63 - 1}, 201),
    ({"items_failed": 2**63}, 422),
]


@pytest.mark.parametrize(("wild", "status"), WILD, ids=range(len(WILD)))
def test_wild_values_are_stored_as_they_are_or_refused(
    api: Api, wild: dict[str, Any], status: int
) -> None:
    record = minimal(**wild)
    answer = api.http.post(RUNS, content=json.dumps(record))
    assert answer.status_code == status, answer.text[:500]
    if status == 201:
        row = api.row(record["event_id"])
        texts = {name: value for name, value in record.items() if isinstance(value, (str, int))}
        assert {**row, **texts} == row
        assert api.post(record if "metrics_json" not in wild else minimal()).status_code == 201
    assert api.http.get(RUNS).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"x"', b"[" * 100_000, b"\xff\xfe", b"\0"]
)
def test_what_is_no_run_is_refused(api: Api, body: bytes) -> None:
    assert named_fields(api.http.post(RUNS, content=body))[0][0] == "body"
    if body != b"[]":
        assert named_fields(api.http.post(f"{RUNS}/batch", content=body))[0][0] == "body"
    event_id = api.create()["event_id"]
    assert named_fields(api.http.patch(f"{RUNS}/{event_id}", content=body))[0][0] == "body"


def test_a_body_that_is_said_to_be_no_json_is_refused(api: Api) -> None:
    answer = api.http.post(RUNS, json=minimal(), headers={"Content-Type": "text/plain"})
    assert named_fields(answer) == [["body"]]


def test_an_event_id_may_be_empty_or_as_long_as_an_event(api: Api) -> None:
    for event_id in ("", "e" * 100_000):
        record = minimal(event_id=event_id, agent_name=unique("agent"))
        assert [api.post(record).json()["status"] for _ in range(2)] == ["created", "duplicate"]
        assert api.ids(agent_name=record["agent_name"]) == [event_id]


def test_changes_too_large_or_of_strange_times(api: Api) -> None:
    event_id = api.create()["event_id"]
    assert api.patch(event_id, {"output_summary": "y" * 2_000_000}).status_code == 413
    for changes in (
        {"end_time": "9999-12-31T23:59:59-14:00", "status": "success"},
        {"end_time": "some time", "status": "failure"},
        {"error_summary": "\0", "status": "running"},
    ):
        assert api.patch(event_id, changes).status_code == 200
        row = api.row(event_id)
        assert {**row, **changes} == row


def test_the_replaced_clients_http_mode_works(service: CollectorProcess, api: Api) -> None:
    with HTTPAPIClient(service.url) as client:
        assert client.check_health()
        record = client_start()
        assert client.post_event(record)["status"] == "created"
        assert client.patch_event(record["event_id"], dict(CLIENT_END))["updated"] is True
        assert client.associate_commit(record["event_id"], "1234567", "llm")["status"] == "success"
        assert client.post_batch([record, minimal()])["inserted"] == 1
        totals = client.get_metrics()
        assert totals is not None
        assert totals["total_runs"] == api.total()


def test_the_description_of_the_api_names_its_paths(api: Api) -> None:
    paths = api.http.get("/openapi.json").json()["paths"]
    assert {RUNS, f"{RUNS}/batch", f"{RUNS}/{{event_id}}", "/health", "/metrics"} <= paths.keys()
    required = paths[RUNS]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert required["required"] == ["event_id", "run_id", "agent_name", "job_type", "start_time"]
