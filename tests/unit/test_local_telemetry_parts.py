"""The small parts of the replaced client: statuses, addresses, git, files, locks, SQLite."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from runfold.producers.compat.local_telemetry import RunRecord
from runfold.producers.compat.local_telemetry.database import DatabaseWriter
from runfold.producers.compat.local_telemetry.git_detector import GitDetector
from runfold.producers.compat.local_telemetry.local import NDJSONWriter
from runfold.producers.compat.local_telemetry.logger import (
    JSONFormatter,
    log_error,
    log_query,
    track_duration,
)
from runfold.producers.compat.local_telemetry.models import calculate_duration_ms
from runfold.producers.compat.local_telemetry.schema import (
    create_schema,
    export_schema_sql,
    get_schema_version,
    verify_schema,
)
from runfold.producers.compat.local_telemetry.single_writer_guard import SingleWriterGuard
from runfold.producers.compat.local_telemetry.status import (
    is_valid_status,
    normalize_status,
    normalize_status_list,
)
from runfold.producers.compat.local_telemetry.url_builder import (
    build_commit_url,
    build_repo_url,
    detect_platform,
    normalize_repo_url,
)

SHA = "abcdef1234"


def test_statuses_have_one_spelling() -> None:
    assert normalize_status_list([" FAILED ", "completed", None, "succeeded", "canceled"]) == [
        "failure", "success", "success", "cancelled"
    ]  # fmt: skip
    assert (normalize_status(None), normalize_status("Odd")) == (None, "odd")
    assert is_valid_status("Failed")
    assert not is_valid_status("odd")
    assert not is_valid_status(None)
    assert not is_valid_status(["success"])


@pytest.mark.parametrize(
    ("address", "platform", "page", "commit"),
    [
        ("https://github.com/o/r.git", "github", "https://github.com/o/r", "commit"),
        ("git@GitHub.com:o/r.git", "github", "https://GitHub.com/o/r", "commit"),
        ("https://gitlab.com/a/b/r/", "gitlab", "https://gitlab.com/a/b/r", "-/commit"),
        ("git@bitbucket.org:o/r", "bitbucket", "https://bitbucket.org/o/r", "commits"),
        ("https://u:tok@github.com/o/r", "github", "https://github.com/o/r", "commit"),
        ("https://git.example.com/o/r.git", None, "https://git.example.com/o/r", None),
        ("git@gitlab.example.com:o/r.git", None, "https://gitlab.example.com/o/r", None),
        ("https://evil.com/github.com/x", None, "https://evil.com/github.com/x", None),
        ("http://github.com/o/r", "github", None, None),
        ("ssh://git@github.com/o/r", "github", None, None),
        ("github.com/o/r", "github", None, None),
        ("crawler", None, None, None),
        ("", None, None, None),
        (None, None, None, None),
    ],
)
def test_addresses_are_built_as_before_without_users(
    address: str | None, platform: str | None, page: str | None, commit: str | None
) -> None:
    assert detect_platform(address) == platform
    assert build_repo_url(address) == page
    assert build_commit_url(address, SHA) == (f"{page}/{commit}/{SHA}" if commit else None)
    assert build_commit_url(address, "  ") is None
    assert "tok" not in normalize_repo_url(address)


def test_the_normal_form_of_an_address_is_as_before() -> None:
    assert normalize_repo_url(" git@h.org:a/b.git ") == "https://h.org/a/b"
    assert normalize_repo_url("https://h.org/a.git/") == "https://h.org/a.git"
    assert normalize_repo_url(None) == ""


def test_durations_are_whole_milliseconds() -> None:
    assert calculate_duration_ms("2026-01-01T00:00:00Z", "2026-01-01T00:00:01.2349+00:00") == 1234
    assert calculate_duration_ms("2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z") == -1000
    for bad in ("yesterday", "2026-01-01T00:00:00", None):
        with pytest.raises(ValueError, match="Failed to calculate duration"):
            calculate_duration_ms(bad, "2026-01-01T00:00:00Z")  # type: ignore[arg-type]


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("https://user:token@github.com/o/name.git", "name"),
        ("git@github.com:name.git", "name"),
        ("/srv/git/name.git/", "name"),
    ],
)
def test_a_detector_gives_the_bare_name_and_keeps_it(
    tmp_path: Path, origin: str, name: str
) -> None:
    _git(tmp_path, "init", "-q", "-b", "main")
    _git(tmp_path, "remote", "add", "origin", origin)
    detector = GitDetector(str(tmp_path))
    expected = {"git_repo": name, "git_branch": "main", "git_run_tag": f"{name}/main"}
    assert detector.get_git_context() == expected
    _git(tmp_path, "checkout", "-q", "-b", "other")
    assert detector.get_git_context() == expected
    assert detector.get_git_context(force_refresh=True)["git_branch"] == "other"
    _git(tmp_path, "remote", "remove", "origin")
    detector.clear_cache()
    assert detector.get_git_context() == {"git_branch": "other"}
    assert GitDetector(str(tmp_path), auto_detect=False).get_git_context() == {}


def test_a_detector_outside_of_a_repository_finds_nothing(tmp_path: Path) -> None:
    assert GitDetector(str(tmp_path)).get_git_context() == {}


def test_ndjson_files_are_read_without_their_bad_lines(tmp_path: Path) -> None:
    writer = NDJSONWriter(tmp_path / "raw")
    assert writer.append({"a": "ü"}) == (True, f"[OK] Wrote to {writer.list_files()[0].name}")
    [path] = writer.list_files()
    with path.open("a") as stream:
        stream.write("\n{torn\n")
    writer.append({"b": 1})
    day = path.stem.removeprefix("events_")
    assert writer.read_file(day) == [{"a": "ü"}, {"b": 1}]
    assert writer.get_file_info(path) == {
        "filename": path.name,
        "size_bytes": path.stat().st_size,
        "line_count": 3,
        "path": str(path),
    }
    with pytest.raises(FileNotFoundError):
        writer.read_file("20000101")
    with pytest.raises(FileNotFoundError):
        writer.get_file_info(tmp_path / "no")


def test_only_one_holds_a_lock_and_a_dead_holder_does_not(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "telemetry.lock"
    program = (
        "import sys, time\n"
        "from runfold.producers.compat.local_telemetry.single_writer_guard import "
        "SingleWriterGuard\n"
        "guard = SingleWriterGuard(sys.argv[1]); guard.acquire()\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(SystemExit):
            SingleWriterGuard(lock).acquire()
        other.kill()
    with SingleWriterGuard(lock) as guard:
        assert lock.exists()
        guard.release()
    assert not lock.exists()


def test_runs_go_into_an_sqlite_file_of_the_services_shape_and_come_back(tmp_path: Path) -> None:
    writer = DatabaseWriter(tmp_path / "db" / "telemetry.sqlite")
    assert writer.get_run("r") is None
    record = RunRecord("r", "crawler", "crawl", "cli", "2026-01-02T03:04:05+00:00", environment="x")
    assert writer.insert_run(record) == (True, "[OK] Database write successful")
    assert not writer.insert_run(record)[0]
    record.status, record.metrics_json = "success", {"a": 1}
    assert writer.update_run(record)[0]
    found = writer.get_run("r")
    assert found is not None
    assert (found.status, found.environment) == ("success", "x")
    assert json.loads(found.metrics_json) == {"a": 1}
    assert [each.run_id for each in writer.get_pending_api_posts()] == ["r"]
    assert writer.increment_api_retry_count("r")[0]
    assert writer.mark_api_posted("r", "2026-01-02")[0]
    assert writer.get_pending_api_posts() == []
    assert writer.associate_commit("r", SHA, "ci")[0]
    assert writer.associate_commit("r", SHA, "robot")[1].startswith("[FAIL] Invalid commit_source")
    assert writer.associate_commit("r", "zz", "ci")[1].startswith("[FAIL] Invalid commit_hash")
    assert writer.associate_commit("no", SHA, "ci")[1] == "[FAIL] Run not found: no"
    assert writer.check_integrity()[0]
    assert writer.check_integrity(quick=False)[0]
    assert writer.checkpoint_wal()[0]
    assert writer.get_run_stats() == {
        "total_runs": 1, "status_counts": {"success": 1}, "pending_api_posts": 0
    }  # fmt: skip
    record.status = "odd"
    assert "CHECK constraint" in writer.update_run(record)[1]


def test_the_schema_is_that_of_the_service(tmp_path: Path) -> None:
    path = tmp_path / "new" / "telemetry.sqlite"
    assert not verify_schema(path)[0]
    assert get_schema_version(path) == 0
    assert create_schema(path)[0]
    assert create_schema(path)[0]
    assert (get_schema_version(path), verify_schema(path)[0]) == (7, True)
    with sqlite3.connect(path) as connection:
        columns = connection.execute("PRAGMA table_info(agent_runs)").fetchall()
        connection.execute("DROP INDEX idx_runs_job_type")
    connection.close()
    assert len(columns) == 47
    assert verify_schema(path) == (False, ["[FAIL] Missing: idx_runs_job_type"])
    assert export_schema_sql(tmp_path / "out" / "schema.sql")[0]
    assert "agent_runs" in (tmp_path / "out" / "schema.sql").read_text()


def test_log_lines_are_json_with_their_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "telemetry_api"), track_duration() as elapsed:
        log_query({"limit": 1}, 3, 1234.567)
        log_error("/health", "Broken", "x" * 600, run="r")
    query, error = (json.loads(JSONFormatter().format(each)) for each in caplog.records)
    assert (query["result_count"], query["duration_ms"], query["is_slow"]) == (3, 1234.57, True)
    assert (error["level"], error["run"], len(error["error_message"])) == ("ERROR", "r", 500)
    assert elapsed() >= 0
