"""Every public name of the replaced client can be imported, and its table says how it behaves."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

PACKAGE = "runfold.producers.compat.local_telemetry"
TABLE = Path(__file__).parents[2] / "docs" / "compat-local-telemetry.md"

PUBLIC: dict[str, list[str]] = {
    "": ["TelemetryClient", "RunContext", "TelemetryConfig", "RunRecord", "RunEvent", "APIPayload",
         "SCHEMA_VERSION", "__version__"],
    "client": ["TelemetryClient.start_run", "TelemetryClient.end_run", "TelemetryClient.log_event",
               "TelemetryClient.track_run", "TelemetryClient.get_run_id_metrics",
               "TelemetryClient.log_run_id_metrics", "TelemetryClient.get_stats",
               "TelemetryClient.associate_commit", "RunContext.log_event",
               "RunContext.set_metrics"],
    "config": ["TelemetryConfig.from_env", "TelemetryConfig.validate",
               "TelemetryConfig.is_test_mode", "TelemetryConfig.is_mock_mode",
               "TelemetryConfig.is_live_mode"],
    "models": ["RunRecord.to_dict", "RunRecord.to_json", "RunRecord.from_dict", "RunEvent.to_dict",
               "RunEvent.from_dict", "APIPayload.to_dict", "APIPayload.from_run_record",
               "SCHEMA_VERSION", "generate_run_id", "get_iso8601_timestamp",
               "calculate_duration_ms"],
    "status": ["normalize_status", "normalize_status_list", "is_valid_status"],
    "local": ["NDJSONWriter.append", "NDJSONWriter.read_file", "NDJSONWriter.list_files",
              "NDJSONWriter.get_file_info"],
    "api": ["APIClient.post_run_sync", "APIClient.post_run_async", "APIClient.test_connection",
            "APIClient.is_configured"],
    "http_client": ["HTTPAPIClient.post_event", "HTTPAPIClient.patch_event",
                    "HTTPAPIClient.associate_commit", "HTTPAPIClient.post_batch",
                    "HTTPAPIClient.check_health", "HTTPAPIClient.get_metrics",
                    "HTTPAPIClient.close", "APIError", "APIUnavailableError",
                    "APIValidationError"],
    "buffer": ["BufferFile.append", "BufferFile.force_rotate",
               "BufferSyncWorker.sync_all_ready_files", "BufferSyncWorker.sync_file"],
    "git_detector": ["GitDetector.get_git_context", "GitDetector.clear_cache"],
    "url_builder": ["detect_platform", "normalize_repo_url", "build_repo_url", "build_commit_url"],
    "helpers": ["cleanup_stale_runs", "cleanup_on_startup"],
    "helpers.cleanup_stale_runs": ["cleanup_stale_runs", "cleanup_on_startup", "main"],
    "database": ["DatabaseWriter.insert_run", "DatabaseWriter.update_run",
                 "DatabaseWriter.get_run", "DatabaseWriter.mark_api_posted",
                 "DatabaseWriter.increment_api_retry_count",
                 "DatabaseWriter.get_pending_api_posts", "DatabaseWriter.associate_commit",
                 "DatabaseWriter.check_integrity", "DatabaseWriter.checkpoint_wal",
                 "DatabaseWriter.get_run_stats"],
    "schema": ["create_schema", "get_schema_version", "verify_schema", "export_schema_sql"],
    "single_writer_guard": ["SingleWriterGuard.acquire", "SingleWriterGuard.release"],
    "logger": ["logger", "JSONFormatter", "log_request", "log_query", "log_update", "log_error",
               "track_duration"],
}  # fmt: skip
SIGNATURES = {
    "client.TelemetryClient.start_run": (
        "(self, agent_name, job_type, trigger_type='cli', **kwargs)"
    ),
    "client.TelemetryClient.end_run": "(self, run_id, status='success', **kwargs)",
    "client.TelemetryClient.log_event": "(self, run_id, event_type, payload=None)",
    "client.TelemetryClient.track_run": (
        "(self, agent_name, job_type, trigger_type='cli', **kwargs)"
    ),
    "client.TelemetryClient.associate_commit": (
        "(self, run_id, commit_hash, commit_source, commit_author=None, commit_timestamp=None)"
    ),
    "config.TelemetryConfig.validate": "(self, strict=True)",
    "git_detector.GitDetector": "(working_dir=None, auto_detect=True)",
    "git_detector.GitDetector.get_git_context": "(self, force_refresh=False)",
    "api.APIClient": (
        "(google_sheets_api_url, api_token, google_sheets_api_enabled=False, max_retries=3, "
        "timeout=10.0)"
    ),
    "http_client.HTTPAPIClient": (
        "(api_url, timeout=10, max_retries=3, retry_delay=1.0, auth_token=None)"
    ),
    "buffer.BufferFile": "(buffer_dir, max_size_mb=10, max_age_hours=24)",
    "buffer.BufferSyncWorker": "(buffer_dir, api_url, batch_size=100)",
    "helpers.cleanup_stale_runs": (
        "(api_url, agent_name, stale_threshold_hours=1, status_to_check='running', "
        "cleanup_status='cancelled', auth_token=None, timeout=30)"
    ),
    "helpers.cleanup_on_startup": (
        "(api_url='http://localhost:8765', agent_name=None, stale_threshold_hours=1, "
        "auth_token=None)"
    ),
    "database.DatabaseWriter": "(database_path, max_retries=3)",
    "database.DatabaseWriter.get_pending_api_posts": "(self, limit=100)",
    "database.DatabaseWriter.check_integrity": "(self, quick=True)",
}  # fmt: skip
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names]


def found(module: str, name: str) -> object:
    value: object = importlib.import_module(f"{PACKAGE}.{module}".rstrip("."))
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_public_name_can_be_imported(module: str, name: str) -> None:
    assert found(module, name) is not None


def test_the_table_says_how_every_public_name_behaves() -> None:
    rows = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w.]+)", row.split("|")[1])}
    missing = {name for _, name in NAMES if name not in named} - {"main"}
    assert missing == set()
    assert all(row.count("|") == 4 and all(map(str.strip, row.split("|")[1:3])) for row in rows)


def test_the_table_names_only_what_there_is() -> None:
    there = {name for _, name in NAMES} | {name.split(".")[0] for _, name in NAMES}
    text = TABLE.read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([\w.]+)", row.split("|")[1])} <= there


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_call_takes_what_it_took_before(name: str) -> None:
    module, _, attribute = name.partition(".")
    signature = inspect.signature(found(module, attribute))  # type: ignore[arg-type]
    bare = [
        each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()
    ]
    assert str(inspect.Signature(bare)) == SIGNATURES[name]


def test_the_package_exports_what_it_did() -> None:
    package = importlib.import_module(PACKAGE)
    exported = [name for name in PUBLIC[""] if not name.startswith("__")]
    assert sorted(package.__all__) == sorted(exported)
    assert (package.__version__, package.SCHEMA_VERSION) == ("0.1.0", 7)
