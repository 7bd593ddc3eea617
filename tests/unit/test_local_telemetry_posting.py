"""Posting over HTTP: what is tried again, what is not, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runfold.producers.compat.local_telemetry.api import APIClient
from runfold.producers.compat.local_telemetry.buffer import BufferFile, BufferSyncWorker
from runfold.producers.compat.local_telemetry.helpers import (
    cleanup_on_startup,
    cleanup_stale_runs,
)
from runfold.producers.compat.local_telemetry.http_client import (
    APIError,
    APIUnavailableError,
    APIValidationError,
    HTTPAPIClient,
)
from runfold.producers.compat.local_telemetry.models import APIPayload
from tests.web_server import web_server

NOBODY = "http://127.0.0.1:1"
ROW = APIPayload("r", "a", "j", "cli", "2026-01-02T03:04:05+00:00", "success")


def sheet(url: str | None, token: str | None = None, *, enabled: bool = True) -> APIClient:
    client = APIClient(url, token, enabled)
    client.retry_delays = [0.0]
    return client


@pytest.mark.parametrize(
    ("answers", "posted", "message", "attempts"),
    [
        ([200], True, "[OK] Posted to API (attempt 1)", 1),
        ([503, 503, 200], True, "[OK] Posted to API (attempt 3)", 3),
        ([500], False, "after 3 attempts: HTTP 500", 3),
        ([404], False, "not retried", 1),
        ([422], False, "not retried", 1),
        ([201], False, "HTTP 201", 1),
        ([302], False, "HTTP 302", 1),
    ],
)
def test_a_row_is_tried_again_only_where_the_server_fails(
    answers: list[int], posted: bool, message: str, attempts: int
) -> None:
    with web_server(*((status, {}) for status in answers)) as server:
        done, said = sheet(server.url).post_run_sync(ROW)
    assert (done, len(server.asked)) == (posted, attempts)
    assert message in said
    assert "Authorization" not in server.asked[0].headers


async def test_a_row_is_posted_without_holding_up_the_event_loop() -> None:
    with web_server((200, {})) as server:
        assert (await sheet(server.url, "t").post_run_async(ROW))[0]
    assert server.asked[0].headers["Authorization"] == "Bearer t"
    assert server.asked[0].content == ROW.to_dict()


def test_nobody_there_is_tried_three_times() -> None:
    done, said = sheet(NOBODY).post_run_sync(ROW)
    assert not done
    assert "after 3 attempts: Request error" in said


def test_what_is_not_set_up_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sheet(NOBODY, enabled=False).post_run_sync(ROW)[1].startswith("[SKIP]")
    assert sheet(None).post_run_sync(ROW)[1].startswith("[SKIP]")
    assert sheet("file:///etc/passwd").post_run_sync(ROW)[1].startswith("[FAIL] Unexpected")
    monkeypatch.setenv("METRICS_API_AUTH_REQUIRED", "true")
    assert not sheet(NOBODY).is_configured()
    assert sheet(NOBODY, "t").is_configured()


def test_a_connection_is_tested_by_a_get() -> None:
    for status, reachable in ((200, True), (405, True), (500, False)):
        with web_server((status, {})) as server:
            assert sheet(server.url).test_connection()[0] is reachable
        assert server.asked[0].method == "GET"
    assert not sheet(NOBODY).test_connection()[0]


def api(url: str) -> HTTPAPIClient:
    return HTTPAPIClient(url, retry_delay=0.0)


def test_the_runs_api_is_called_at_its_paths() -> None:
    with (
        web_server(
            (201, {"status": "created"}),
            (200, {"updated": True}),
            (200, {"status": "success"}),
            (200, {"inserted": 1, "duplicates": 0, "errors": [], "total": 1}),
            (200, {"status": "ok"}),
            (200, {"total_runs": 3}),
        ) as server,
        HTTPAPIClient(f"{server.url}/", auth_token="t") as client,
    ):
        assert client.post_event({"event_id": "e"})["status"] == "created"
        assert client.patch_event("e", {"status": "success"})["updated"]
        client.associate_commit("e", "abcdef1", "ci", None, "2026-01-02")
        assert client.post_batch([{"event_id": "e"}])["inserted"] == 1
        assert client.post_batch([])["total"] == 0
        assert client.check_health()
        assert client.get_metrics() == {"total_runs": 3}
    assert [(each.method, each.path) for each in server.asked] == [
        ("POST", "/api/v1/runs"),
        ("PATCH", "/api/v1/runs/e"),
        ("POST", "/api/v1/runs/e/associate-commit"),
        ("POST", "/api/v1/runs/batch"),
        ("GET", "/health"),
        ("GET", "/metrics"),
    ]
    assert server.asked[2].content == {
        "commit_hash": "abcdef1", "commit_source": "ci", "commit_timestamp": "2026-01-02"
    }  # fmt: skip
    assert {each.headers["Authorization"] for each in server.asked} == {"Bearer t"}


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (422, {"detail": "no"}, APIValidationError),
        (400, {"detail": "no"}, APIValidationError),
        (500, {"detail": "no"}, APIError),
        (401, {"detail": "no"}, APIError),
        (200, ["no", "object"], APIError),
        (200, {"no": "status"}, APIError),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_not_tried_again(
    status: int, said: Any, error: type[Exception]
) -> None:
    with web_server((status, said)) as server:
        with pytest.raises(error):
            api(server.url).post_event({})
    assert len(server.asked) == 1


def test_nobody_there_is_unavailable_and_has_no_metrics() -> None:
    with pytest.raises(APIUnavailableError, match="Cannot reach telemetry API"):
        api(NOBODY).post_event({})
    with pytest.raises(APIError, match="cannot be sent"):
        api(NOBODY).post_event({"not": object()})
    assert api(NOBODY).get_metrics() is None
    assert not api(NOBODY).check_health()


def test_buffer_files_go_from_active_to_ready(tmp_path: Path) -> None:
    buffer = BufferFile(tmp_path, max_size_mb=0.0001)
    buffer.append({"event_id": "1", "padding": "x" * 200})
    [active] = tmp_path.iterdir()
    assert active.name.endswith(".jsonl.active")
    assert BufferFile(tmp_path).current_file == active
    buffer.append({"event_id": "2"})
    assert len([*tmp_path.glob("*.jsonl.ready")]) == 1
    buffer.force_rotate()
    assert [*tmp_path.glob("*.jsonl.active")] == []


def ready_file(folder: Path, *lines: str) -> Path:
    path = folder / "telemetry_1.jsonl.ready"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_buffered_end_of_a_known_run_is_patched_and_its_metrics_sent_as_an_object(
    tmp_path: Path,
) -> None:
    run = {"event_id": "e", "end_time": "2026-01-02", "status": "success", "created_at": None,
           "metrics_json": '{"a": 1}'}  # fmt: skip
    ready_file(tmp_path, json.dumps(run), "{torn", '{"run_id": "no event id"}')
    with web_server(
        (200, {"inserted": 0, "duplicates": 1, "errors": [], "total": 1}), (200, {"updated": True})
    ) as server:
        done = BufferSyncWorker(tmp_path, server.url).sync_all_ready_files()
    assert (done["files_processed"], done["total_sent"], done["total_duplicates"]) == (1, 1, 1)
    batch, patch = server.asked
    assert "created_at" not in batch.content[0]
    assert batch.content[0]["metrics_json"] == {"a": 1}
    assert (patch.method, patch.path) == ("PATCH", "/api/v1/runs/e")
    assert patch.content == {
        "status": "success", "end_time": "2026-01-02", "metrics_json": {"a": 1}
    }  # fmt: skip
    assert [path.suffix for path in tmp_path.iterdir()] == [".synced"]


def test_a_run_that_the_api_refuses_does_not_hold_up_its_neighbours(tmp_path: Path) -> None:
    ready_file(tmp_path, '{"event_id": "bad"}', '{"event_id": "good"}')
    with web_server(
        (422, {"detail": "one is bad"}),
        (422, {"detail": "this one"}),
        (200, {"inserted": 1, "duplicates": 0, "errors": [], "total": 1}),
    ) as server:
        done = BufferSyncWorker(tmp_path, server.url).sync_all_ready_files()
    assert done["total_sent"] == 1
    rejected = json.loads((tmp_path / "telemetry_1.jsonl.rejected").read_text())
    assert rejected["run"] == {"event_id": "bad"}
    assert "this one" in rejected["reason"]


def test_a_file_stays_ready_while_nobody_answers(tmp_path: Path) -> None:
    path = ready_file(tmp_path, '{"event_id": "e"}')
    assert BufferSyncWorker(tmp_path, NOBODY).sync_file(path) == {"sent": 0, "duplicates": 0}
    assert path.exists()


def test_old_runs_of_an_agent_are_ended() -> None:
    runs = [{"event_id": "e", "run_id": "r", "created_at": "long ago"}, {"run_id": "no id"}]
    with web_server((200, runs), (200, {"updated": True})) as server:
        result = cleanup_stale_runs(server.url, "crawler", auth_token="t")
    assert (result["found"], result["cleaned"], result["failed"]) == (2, 1, 1)
    assert result["stale_runs"] == runs
    query, patch = server.asked
    assert "agent_name=crawler&status=running&created_before=" in query.path
    assert "%2B00%3A00&limit=1000" in query.path
    assert patch.content["status"] == "cancelled"
    assert "long ago" in patch.content["error_summary"]
    assert query.headers["Authorization"] == patch.headers["Authorization"] == "Bearer t"


def test_cleaning_up_says_what_did_not_work() -> None:
    assert "Failed to query stale runs" in cleanup_stale_runs(NOBODY, "crawler")["errors"][0]
    assert not cleanup_on_startup(NOBODY, None)
    with web_server((200, [])) as server:
        assert cleanup_on_startup(server.url, "crawler")
