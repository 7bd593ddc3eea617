"""Views with the names of the earlier systems: their panels' questions, answers counted by hand."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runfold.deploy.embedded.postgres import PostgresServer
from runfold.schemas.event import Event
from runfold.sinks.objects import LakeObjects
from runfold.sinks.postgres import open_exporter
from tests.earlier_systems import OF_PROJECT, SESSION, SYSTEM, automagik, framework_event
from tests.lakes_of_events import LakeOfEvents, event, now_us
from tests.postgres_tables import rows_of_lake

HOUR = 3600

SMALL = '{"messages":["a"],"message_counts":{"user":1}}'
LARGE = b'{"messages":["a","b"],"message_counts":{"user":2}}'
NAMED = json.dumps(
    {"runfold.object": {"sha256": hashlib.sha256(LARGE).hexdigest(), "bytes": len(LARGE)}}
)
"""What the event of a large transcript has: the transcript lies beside the log."""

FRAMEWORK = [
    event(SESSION, "run.started", -1, job_type="agent_framework", session_id="s-1", host="host-1"),
    framework_event(
        1, 0, cost=0.25, prompt_tokens=100, cached_tokens=40, completion_tokens=20,
        reasoning_tokens=5, total_tokens=120, client_version="1.0",
    ),
    framework_event(
        2, 60, duration_ms=300.0, generation_id="gen-1", extra_data={"k": "v"},
    ),
    framework_event(3, 120, decision="DENY", agent_name="clerk", execution_type="typescript"),
    framework_event(
        4, HOUR, decision="ERROR", agent_name="clerk", success=False, error_count=2, mode="lazy"
    ),
    event(
        SESSION, "custom", HOUR + 9, event_id="af-cost-x", name="cost.added", cost_usd=0.5,
        session_id="s-1",
        attributes='{"generation_id":"gen-1","prompt_tokens":50,"completion_tokens":10}',
    ),
    *(
        event(
            SESSION, "transcript.saved", at, event_id=f"af-t{at}", session_id="s-1", host=host,
            attributes=attributes,
        )
        for at, host, attributes in ((1, "host-1", SMALL), (2, "host-2", NAMED))
    ),
]  # fmt: skip

AUTOMAGIK = [
    automagik("custom", 0, "omni.used"),
    automagik("custom", 61, "omni.used", duration_ms=40.0),
    automagik("error.raised", 62, "automagik.error", error_type="ValueError", error_message="no"),
    automagik("span.ended", HOUR, "GET /", beside={"service.name": "web"}, duration_ms=20.0),
    event(
        "t-1", "run.ended", HOUR + 1, name="checkout", project="shop", duration_ms=60.0,
        attributes='{"span.kind":"server"}',
    ),
    automagik("metric.recorded", 1, "depth", beside={"metric_type": "gauge"}, value=4.0),
    automagik("metric.recorded", 2, "sent", beside={"metric_type": "counter"}, value=2.5),
    automagik("metric.recorded", 3, "sent", beside={"metric_type": "counter"}, value=1.0),
    automagik(
        "log.written", 4, "error",
        beside={"severity_text": "ERROR", "severity_number": 17, "message": "it broke"},
    ),
    automagik("log.written", 5, "fatal", beside={"severity_text": "FATAL", "message": "worse"}),
]  # fmt: skip

LOCAL_TELEMETRY = [
    event(
        "20260101T000000Z-crawler-1", "run.started", 0, agent_name="crawler", job_type="crawl",
        status="running", items_discovered=3, host="h",
        attributes=json.dumps(
            {"event_id": "e-1", "start_time": "2026-01-01T00:00:00Z", "product": "words",
             "metrics_json": {"pages": 3}}
        ),
    ),
    event("20260101T000000Z-crawler-1", "custom", 1, name="checkpoint", attributes='{"page":2}'),
    event(
        "20260101T000000Z-crawler-1", "commit.associated", 2, git_commit_hash="abc1234",
        git_commit_source="llm", git_commit_author="Ann", git_repo="r", git_branch="main",
    ),
    event(
        "20260101T000000Z-crawler-1", "run.ended", 5, status="failed", error_message="no route",
        items_failed=1,
    ),
    event(
        "20260101T000000Z-crawler-1~0a1b2c3d", "run.started", 9, agent_name="crawler",
        job_type="crawl", attributes='{"event_id":"e-2"}',
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def views(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a database with what clients of the earlier systems sent, late costs after all else."""
    root = tmp_path_factory.mktemp("earlier")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop database if exists earlier_systems")
        connection.execute("create database earlier_systems")
    database = postgres.url_of("earlier_systems")
    lake = LakeOfEvents(root)
    LakeObjects(root).put(LARGE)
    with open_exporter(root, database) as exporter:
        for each in (FRAMEWORK, AUTOMAGIK, LOCAL_TELEMETRY):
            lake.put(*each, recorded_at_us=now_us())
            exporter.catch_up()
    return database


def ask(database: str, schema: str, question: str) -> list[tuple[Any, ...]]:
    """Ask as a user of an earlier system does: names without a schema."""
    with psycopg.connect(database, options=f"-csearch_path={schema}") as connection:
        return connection.execute(question.encode()).fetchall()


POSITIVE = "decision in ('APPROVE', 'CONFIRM', 'SUCCESS', 'CONTINUE')"
SHARE = "round(100.0 * count(*) filter (where {}) / nullif(count(*), 0), 2)"
HALF = Decimal("50.00")


@pytest.mark.parametrize(
    ("panel", "answer"),
    [
        ("select count(*) from telemetry_events", [(4,)]),
        (f"select {SHARE.format(POSITIVE)} from telemetry_events", [(HALF,)]),
        (
            "select percentile_cont(0.95) within group (order by latency_ms) from telemetry_events",
            [(pytest.approx(270.0),)],
        ),
        (
            "select count(distinct host_id), count(distinct agent_name),"
            " count(distinct model_name) from telemetry_events",
            [(1, 2, 1)],
        ),
        (f"select {SHARE.format('success')} from telemetry_events", [(Decimal("75.00"),)]),
        ("select count(*) from telemetry_events where execution_type = 'llm'", [(3,)]),
        (
            "select count(*) filter (where decision = 'CONTINUE'),"
            " count(*) filter (where decision in ('APPROVE', 'CONFIRM', 'SUCCESS')),"
            " count(*) filter (where decision = 'DENY'), count(*) filter (where decision = 'ERROR')"
            " from telemetry_events group by date_trunc('hour', created_at) order by 1, 2 desc",
            [(0, 2, 1, 0), (0, 0, 0, 1)],
        ),
        (
            "select agent_name, count(*), count(distinct session_id),"
            " count(*) filter (where decision = 'DENY'), count(*) filter (where not success),"
            f" {SHARE.format(POSITIVE)}, {SHARE.format('success')},"
            f" {SHARE.format(chr(39).join(['mode = ', 'direct', '']))},"
            " avg(latency_ms) filter (where execution_type = 'llm'), sum(error_count)"
            " from telemetry_events group by 1 order by 1",
            [
                ("clerk", 2, 1, 1, 1, 0, HALF, HALF, 100, 2),
                ("guard", 2, 1, 0, 0, 100, 100, 100, 200, 0),
            ],
        ),
        (
            "select host_id, count(*), max(created_at) = min(created_at) + interval '1 hour'"
            " from telemetry_events group by 1",
            [("host-1", 4, True)],
        ),
        (
            f"select {SHARE.format(chr(39).join(['decision = ', 'DENY', '']))}"
            " from telemetry_events group by date_trunc('hour', created_at) order by 1",
            [(0,), (Decimal("33.33"),)],
        ),
        (
            "select agent_name, coalesce(model_tier, 'N/A'),"
            " count(*) filter (where decision = 'ERROR') from telemetry_events group by 1, 2"
            " having count(*) filter (where decision = 'ERROR') > 0",
            [("clerk", "haiku", 1)],
        ),
        (
            "select client_version, count(*) from telemetry_events"
            " where client_version is not null group by 1",
            [("1.0", 1)],
        ),
        (
            "select sum(cost), avg(cost), sum(total_tokens), avg(total_tokens),"
            " 100.0 * sum(cached_tokens) / sum(prompt_tokens)"
            " from telemetry_events where execution_type = 'llm'",
            [
                (
                    Decimal("0.75"),
                    Decimal("0.375"),
                    180,
                    90,
                    pytest.approx(Decimal(40) / Decimal("1.5")),
                )
            ],
        ),
        (
            "select avg(day.cost) from (select sum(cost) as cost from telemetry_events"
            " where execution_type = 'llm' group by created_at::date having sum(cost) > 0) as day",
            [(Decimal("0.75"),)],
        ),
        (
            "select sum(prompt_tokens - coalesce(cached_tokens, 0)),"
            " sum(completion_tokens - coalesce(reasoning_tokens, 0)), sum(cached_tokens),"
            " sum(reasoning_tokens) from telemetry_events where execution_type = 'llm'",
            [(110, 25, 40, 5)],
        ),
        (
            "select agent_name, count(*), sum(cost), avg(cost), sum(total_tokens)"
            " from telemetry_events where cost is not null group by 1",
            [("guard", 2, Decimal("0.75"), Decimal("0.375"), 180)],
        ),
        ("select extra_data ->> 'k' from telemetry_events where extra_data is not null", [("v",)]),
        (
            "select host_id, session_id, transcript_data, message_counts ->> 'user',"
            " jsonb_typeof(transcript_data) from session_transcripts",
            [("host-1", "s-1", ["a", "b"], "2", "array")],
        ),
        ("select key_hash, description, last_used_at from api_keys where is_active", []),
    ],
)
def test_the_panels_of_the_agent_framework(
    views: str, panel: str, answer: list[tuple[Any, ...]]
) -> None:
    assert ask(views, "agent_framework", panel) == answer


@pytest.mark.parametrize(
    ("panel", "answer"),
    [
        ("select project_name, count(*) from traces where project_name <> '' group by 1"
         " order by 2 desc", [("omni", 4), ("shop", 1)]),
        ("select count(*), count(*) filter (where status_code <> 'OK') from traces", [(5, 1)]),
        ("select count(*) from traces group by date_trunc('minute', timestamp) order by 1",
         [(1,), (2,), (2,)]),
        ("select span_name, count(*) from traces group by 1 order by 2 desc, 1 limit 2",
         [("omni.used", 2), ("GET /", 1)]),
        ("select avg(duration_ms) from traces where duration_ms > 0", [(40,)]),
        ("select count(distinct service_name) from traces", [(3,)]),
        ("select service_name, count(*) from traces group by 1 order by 2 desc, 1 limit 10",
         [("omni", 3), ("shop", 1), ("web", 1)]),
        ("select timestamp, service_name, span_name, status_code, duration_ms, project_name,"
         " environment from traces order by timestamp desc limit 1",
         [(datetime.fromisoformat("2025-11-13T13:00:01Z"), "shop", "checkout", "OK", 60, "shop",
           "production")]),
        ("select count(*), count(distinct metric_name), count(distinct service_name) from metrics",
         [(3, 2, 1)]),
        ("select metric_name, avg(value_double) from metrics where metric_type = 'GAUGE'"
         " group by 1",
         [("depth", 4.0)]),
        ("select metric_name, sum(value_double) from metrics where metric_type = 'SUM' group by 1",
         [("sent", 3.5)]),
        ("select metric_type, count(*) from metrics group by 1 order by 1",
         [("GAUGE", 1), ("SUM", 2)]),
        ("select value_int, value_double from metrics order by timestamp",
         [(4, 4.0), (0, 2.5), (1, 1.0)]),
        ("select count(*), count(*) filter (where severity_text = 'ERROR'), count(distinct"
         " service_name), count(*) filter (where severity_text = 'WARN') from logs",
         [(2, 1, 1, 0)]),
        ("select severity_text, service_name, body, trace_id, span_id, project_name, environment"
         " from logs order by timestamp limit 1",
         [("ERROR", "omni", "it broke", "", "", "omni", "production")]),
        ("select service_name, span_name, total_count, error_count, max_duration_ms,"
         " p95_duration_ms from metrics_hourly order by timestamp, span_name",
         [("omni", "automagik.error", 1, 1, None, None), ("omni", "omni.used", 2, 0, 40, 40),
          ("web", "GET /", 1, 0, 20, 20), ("shop", "checkout", 1, 0, 60, 60)]),
        ("select user_id, os_type, runtime_name, runtime_version, project_version from traces"
         " where span_name = 'omni.used' limit 1", [("u", "Linux", "python", "3.12", "1.0")]),
    ],
)  # fmt: skip
def test_the_panels_of_automagik(views: str, panel: str, answer: list[tuple[Any, ...]]) -> None:
    assert ask(views, "automagik", panel) == answer


def _written(at: float, level: str, body: str, **beside: Any) -> Event:
    told = {"severity_text": level, "message": body} | beside
    return automagik("log.written", at, level.lower(), beside=told, trace_id="t" * 32)


ROLLED_UP = [
    event("a-run", "run.started", -9, job_type="automagik", **OF_PROJECT,
          attributes=json.dumps(SYSTEM)),
    *(automagik("metric.recorded", at, "depth", beside={"metric_type": "gauge"}, value=value)
      for at, value in ((0, 1.0), (1, 3.0), (299, 8.0), (300, 5.0), (HOUR, float("nan")))),
    automagik("metric.recorded", 9, "depth", beside={"metric_type": "counter"}, value=7.0),
    automagik("metric.recorded", 9, "took", beside={"metric_type": "histogram"}, value=0.5),
    automagik("metric.recorded", 9, "size", value=60.0, beside={
        "metric_type": "histogram", "count": 3, "min": 10.0, "max": 30.0,
        "bucket_counts": [1, 2], "explicit_bounds": [15.5, "x"]}),
    automagik("metric.recorded", 9, "spread", value=9.0, beside={
        "metric_type": "summary", "count": 2, "quantiles": {"0.5": 4.5}}),
    automagik("custom", 2, "omni.used", trace_id="t" * 32, span_id="s1"),
    *(_written(3 + at, "ERROR", f"it broke {at}", severity_number=17) for at in range(12)),
    _written(5, "FATAL", '{"why": 1}', **{"exception.type": "E", "exception.stacktrace": "at x"}),
    _written(6, "WARN", "it may", severity_number=13, **{"code.line.number": 7}),
    _written(HOUR + 1, "ERROR", "again", severity_number="17"),
]  # fmt: skip

_TYPE_IN_LAKE = "upper(replace(attributes ->> '$.metric_type', 'counter', 'sum'))"


def test_the_rollups_of_automagik_are_what_the_lake_sums(database: str, tmp_path: Path) -> None:
    lake = LakeOfEvents(tmp_path)
    with open_exporter(tmp_path, database) as exporter:
        for half in (ROLLED_UP[::2], ROLLED_UP[1::2]):
            lake.put(*half, recorded_at_us=now_us())
            exporter.catch_up()
    points = ask(database, "automagik", """
        select metric_name, metric_type, timestamp, count, sum_value, avg_value, min_value,
               max_value, p50_value, p95_value, p99_value
        from metrics_5min where project_name = 'omni' and service_name = 'omni'
        and environment = 'production' order by 1, 2, 3""")  # fmt: skip
    assert len(points) == 3
    assert points == [tuple(row.values()) for row in rows_of_lake(tmp_path, f"""
        select name, {_TYPE_IN_LAKE} as kind,
               make_timestamptz(epoch_us(occurred_at) // 300000000 * 300000000) as at,
               count(*), sum(value), avg(value), min(value), max(value),
               quantile_cont(value, 0.5), quantile_cont(value, 0.95), quantile_cont(value, 0.99)
        from events where event_type = 'metric.recorded' and isfinite(value)
        and kind in ('GAUGE', 'SUM') group by 1, 2, 3 order by 1, 2, 3""")]  # fmt: skip
    logs = ask(database, "automagik", """
        select severity_text, severity_number, total_logs, error_logs, warn_logs, exception_logs,
               cardinality(sample_messages), sample_messages[1]
        from logs_error_summary order by timestamp, 1""")  # fmt: skip
    assert logs == [
        ("ERROR", 17, 12, 12, 0, 0, 10, "it broke 0"),
        ("FATAL", 0, 1, 1, 0, 1, 1, '{"why": 1}'),
        ("WARN", 13, 1, 0, 1, 0, 1, "it may"),
        ("ERROR", 17, 1, 1, 0, 0, 1, "again"),
    ]
    written = rows_of_lake(tmp_path, "select count(*) as n from events where event_type = "
                                     "'log.written'")  # fmt: skip
    assert sum(row[2] for row in logs) == written[0]["n"]


def test_a_log_is_found_by_its_trace_and_says_what_its_columns_said(
    database: str, tmp_path: Path
) -> None:
    LakeOfEvents(tmp_path).put(*ROLLED_UP, recorded_at_us=now_us())
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
    found = ask(database, "automagik", """
        select span_name, span_id, status_code, severity_text, log_message, is_exception,
               exception_type, log_timestamp - trace_timestamp = interval '3 s'
        from trace_logs_correlation where severity_text = 'FATAL'""")  # fmt: skip
    assert found == [("omni.used", "s1", "OK", "FATAL", '{"why": 1}', 1, "E", True)]
    logs = ask(database, "automagik", """
        select body_type, exception_stacktrace, source_line, os_type, runtime_name,
               instrumentation_library_name, observed_timestamp_ns > timestamp_ns
        from logs where severity_text in ('FATAL', 'WARN') order by timestamp""")  # fmt: skip
    system = ("Linux", "python", "automagik-telemetry", True)
    assert logs == [("JSON", "at x", 0, *system), ("STRING", "", 7, *system)]
    points = ask(database, "automagik", """
        select metric_name, is_monotonic, aggregation_temporality, histogram_count, histogram_sum,
               histogram_min, histogram_max, histogram_bucket_counts, histogram_explicit_bounds,
               summary_count, summary_sum, quantile_values, os_version = '', runtime_version
        from metrics where timestamp_ns % 60000000000 = 9000000000 order by 1""")  # fmt: skip
    assert points == [
        ("depth", 1, "DELTA", 0, 0, 0, 0, [], [], 0, 0, {}, True, "3.12"),
        ("size", 0, "UNSPECIFIED", 3, 60, 10, 30, [1, 2], [15.5, None], 0, 0, {}, True, "3.12"),
        ("spread", 0, "UNSPECIFIED", 0, 0, 0, 0, [], [], 2, 9, {"0.5": 4.5}, True, "3.12"),
        ("took", 0, "UNSPECIFIED", 1, 0.5, 0.5, 0.5, [], [], 0, 0, {}, True, "3.12"),
    ]


COLUMNS = {
    "metrics": "metric_id metric_name metric_type metric_unit metric_description timestamp "
    "timestamp_ns time_window_start time_window_end value_int value_double is_monotonic "
    "aggregation_temporality histogram_count histogram_sum histogram_min histogram_max "
    "histogram_bucket_counts histogram_explicit_bounds summary_count summary_sum quantile_values",
    "logs": "log_id trace_id span_id timestamp timestamp_ns observed_timestamp "
    "observed_timestamp_ns severity_text severity_number body body_type exception_type "
    "exception_message exception_stacktrace is_exception source_file source_line source_function "
    "flags",
    "traces": "trace_id span_id parent_span_id timestamp timestamp_ns duration_ms "
    "span_name span_kind status_code status_message",
    "metrics_5min": "timestamp project_name service_name metric_name metric_type environment count "
    "sum_value avg_value min_value max_value p50_value p95_value p99_value",
    "logs_error_summary": "timestamp project_name service_name environment severity_text "
    "severity_number total_logs error_logs warn_logs exception_logs sample_messages",
}
OF_ALL = (
    "project_name project_version service_name environment hostname attributes user_id session_id "
    "os_type os_version runtime_name runtime_version cloud_provider cloud_region "
    "cloud_availability_zone instrumentation_library_name instrumentation_library_version"
)
OF_SOURCES = "service_namespace service_instance_id schema_url"


@pytest.mark.parametrize("table", COLUMNS)
def test_automagiks_tables_have_all_columns_that_they_had(views: str, table: str) -> None:
    wanted = COLUMNS[table].split()
    if table in ("metrics", "logs", "traces"):
        wanted += OF_ALL.split()
    if table in ("metrics", "logs"):
        wanted += OF_SOURCES.split()
    asked = ", ".join(f'"{column}"' for column in wanted)
    assert len(set(wanted)) == len(wanted)
    ask(views, "automagik", f"select {asked} from {table}")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("select version, description like '%version 7%' from schema_migrations", [(7, True)]),
        ("select agent_name, count(*) from agent_runs group by 1", [("crawler", 2)]),
        ("select status, count(*) from agent_runs group by 1 order by 1",
         [("failure", 1), ("running", 1)]),
        ("select substr(start_time, 1, 10), count(*) from agent_runs group by 1 order by 1 desc",
         [("2026-01-01", 1), ("2025-11-13", 1)]),
        ("select event_id, run_id, product, items_discovered, items_failed, duration_ms,"
         " error_summary, metrics_json, git_commit_hash, api_posted, schema_version"
         " from agent_runs where status = 'failure'",
         [("e-1", "20260101T000000Z-crawler-1", "words", 3, 1, 5000, "no route",
           '{"pages": 3}', "abc1234", 0, 7)]),
        ("select run_id, count(*) from agent_runs group by 1",
         [("20260101T000000Z-crawler-1", 2)]),
        ("select event_type, count(*), max(payload_json) from run_events group by 1",
         [("checkpoint", 1, '{"page": 2}')]),
        ("select commit_hash, run_id, agent_name, repo, branch, author from commits",
         [("abc1234", "20260101T000000Z-crawler-1", "crawler", "r", "main", "Ann")]),
    ],
)  # fmt: skip
def test_questions_of_local_telemetry(
    views: str, question: str, answer: list[tuple[Any, ...]]
) -> None:
    assert ask(views, "local_telemetry", question) == answer


def test_agent_runs_has_the_columns_that_it_had_in_their_order(views: str) -> None:
    asked = """
        select string_agg(column_name, ' ' order by ordinal_position)
        from information_schema.columns
        where table_schema = 'local_telemetry' and table_name = 'agent_runs'"""
    [(columns,)] = ask(views, "local_telemetry", asked)
    assert columns == (
        "id event_id run_id schema_version created_at updated_at start_time end_time agent_name "
        "agent_owner job_type status product product_family platform subdomain website "
        "website_section item_name items_discovered items_succeeded items_failed items_skipped "
        "duration_ms input_summary output_summary source_ref target_ref error_summary "
        "error_details git_repo git_branch git_commit_hash git_run_tag git_commit_source "
        "git_commit_author git_commit_timestamp host environment trigger_type metrics_json "
        "context_json api_posted api_posted_at api_retry_count insight_id parent_run_id"
    )
