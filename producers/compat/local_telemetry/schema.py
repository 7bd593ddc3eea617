"""The SQLite schema of the replaced service, version 7, for tools that make such a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from runfold.producers.compat.local_telemetry.models import SCHEMA_VERSION
from runfold.producers.compat.local_telemetry.status import CANONICAL_STATUSES

_STATUSES = ", ".join(f"'{status}'" for status in CANONICAL_STATUSES)

TABLES = {
    "agent_runs": f"""CREATE TABLE IF NOT EXISTS agent_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL,
    schema_version INTEGER DEFAULT {SCHEMA_VERSION},
    created_at TEXT NOT NULL DEFAULT (datetime('now')),
    updated_at TEXT DEFAULT (datetime('now')),
    start_time TEXT NOT NULL,
    end_time TEXT,
    agent_name TEXT NOT NULL,
    agent_owner TEXT,
    job_type TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ({_STATUSES})),
    product TEXT, product_family TEXT, platform TEXT, subdomain TEXT,
    website TEXT, website_section TEXT, item_name TEXT,
    items_discovered INTEGER DEFAULT 0 CHECK (items_discovered >= 0),
    items_succeeded INTEGER DEFAULT 0 CHECK (items_succeeded >= 0),
    items_failed INTEGER DEFAULT 0 CHECK (items_failed >= 0),
    items_skipped INTEGER DEFAULT 0 CHECK (items_skipped >= 0),
    duration_ms INTEGER DEFAULT 0 CHECK (duration_ms >= 0),
    input_summary TEXT, output_summary TEXT, source_ref TEXT, target_ref TEXT,
    error_summary TEXT, error_details TEXT,
    git_repo TEXT, git_branch TEXT, git_commit_hash TEXT, git_run_tag TEXT,
    git_commit_source TEXT, git_commit_author TEXT, git_commit_timestamp TEXT,
    host TEXT, environment TEXT, trigger_type TEXT,
    metrics_json TEXT, context_json TEXT,
    api_posted INTEGER DEFAULT 0, api_posted_at TEXT,
    api_retry_count INTEGER DEFAULT 0 CHECK (api_retry_count >= 0),
    insight_id TEXT, parent_run_id TEXT
)""",
    "run_events": """CREATE TABLE IF NOT EXISTS run_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES agent_runs (run_id),
    event_type TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    payload_json TEXT
)""",
    "commits": """CREATE TABLE IF NOT EXISTS commits (
    commit_hash TEXT PRIMARY KEY,
    run_id TEXT REFERENCES agent_runs (run_id),
    agent_name TEXT, repo TEXT, branch TEXT, commit_date TEXT, author TEXT, message TEXT,
    files_changed INTEGER, insertions INTEGER, deletions INTEGER,
    created_at TEXT DEFAULT (datetime('now'))
)""",
    "schema_migrations": """CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    applied_at TEXT DEFAULT (datetime('now')),
    description TEXT
)""",
}
INDEXES = {
    "idx_runs_event_id": "agent_runs (event_id)",
    "idx_runs_agent": "agent_runs (agent_name)",
    "idx_runs_status": "agent_runs (status)",
    "idx_runs_start": "agent_runs (start_time)",
    "idx_runs_created_desc": "agent_runs (created_at DESC)",
    "idx_runs_agent_status_created": "agent_runs (agent_name, status, created_at DESC)",
    "idx_runs_agent_created": "agent_runs (agent_name, created_at DESC)",
    "idx_runs_job_type": "agent_runs (job_type)",
    "idx_runs_parent_run": "agent_runs (parent_run_id)",
    "idx_runs_api_posted": "agent_runs (api_posted)",
    "idx_runs_insight": "agent_runs (insight_id)",
    "idx_runs_commit": "agent_runs (git_commit_hash)",
    "idx_runs_website": "agent_runs (website)",
    "idx_runs_website_section": "agent_runs (website, website_section)",
    "idx_events_run": "run_events (run_id)",
    "idx_commits_run": "commits (run_id)",
}


def create_schema(db_path: Path | str) -> tuple[bool, list[str]]:
    """Make tables and indexes where they are missing; return whether all is there, and messages."""
    try:
        Path(db_path).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(db_path)) as connection, connection:
            connection.executescript(_script())
    except (OSError, sqlite3.Error) as error:
        return False, [f"[FAIL] Database error: {error}"]
    return True, [f"[OK] Created {name}" for name in (*TABLES, *INDEXES)]


def get_schema_version(db_path: Path | str) -> int:
    """Return the version that the file says it has, 0 where it says none."""
    try:
        with closing(sqlite3.connect(db_path)) as connection:
            found = connection.execute("SELECT max(version) FROM schema_migrations").fetchone()
    except sqlite3.Error:
        return 0
    return int(found[0] or 0)


def verify_schema(db_path: Path | str) -> tuple[bool, list[str]]:
    """Return whether a file has all tables, indexes and the version, and messages."""
    if not Path(db_path).exists():
        return False, ["[FAIL] Database file does not exist"]
    try:
        with closing(sqlite3.connect(db_path)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        return False, [f"[FAIL] Database error: {error}"]
    missing = [each for each in (*TABLES, *INDEXES) if each not in names]
    messages = [f"[FAIL] Missing: {each}" for each in missing]
    version = get_schema_version(db_path)
    if version != SCHEMA_VERSION:
        messages.append(f"[FAIL] Schema version is {version}, expected {SCHEMA_VERSION}")
    return not messages, messages or [f"[OK] Schema version: {version}"]


def export_schema_sql(output_path: Path | str) -> tuple[bool, str]:
    """Write the schema as SQL; return whether it is written, and a message."""
    try:
        Path(output_path).parent.mkdir(parents=True, exist_ok=True)
        Path(output_path).write_text(_script(), "utf-8")
    except OSError as error:
        return False, f"[FAIL] Error exporting schema: {error}"
    return True, f"[OK] Exported schema to {output_path}"


def _script() -> str:
    statements = [
        *TABLES.values(),
        *(f"CREATE INDEX IF NOT EXISTS {name} ON {place}" for name, place in INDEXES.items()),
        "INSERT OR IGNORE INTO schema_migrations (version, description) "
        f"VALUES ({SCHEMA_VERSION}, 'made by runfold')",
    ]
    return ";\n".join(statements) + ";\n"
