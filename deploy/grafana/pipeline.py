"""The pipeline's health, and the ledger: what became of every record of the log."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.boards import Board, Rows
from runfold.deploy.grafana.drilling import TO_AGENT, TO_RUN
from runfold.deploy.grafana.panels import (
    SECONDS,
    Said,
    Steps,
    graph_panel,
    pie_panel,
    stat_panel,
    table_panel,
)
from runfold.deploy.grafana.questions import buckets

_BOARD = Board(
    "runfold-pipeline",
    "Pipeline",
    "Whether all that agents told is here: how far behind, how fresh, and what became of every"
    " record.",
    since="now-6h",
)
LATE: Steps = ((10, "yellow"), (60, "red"))
_LAGGING: Steps = ((10_000, "yellow"), (100_000, "red"))
_ANY: Steps = ((1, "red"),)
_LAST_LOOK = """from (
    select distinct on (topic_id) * from runfold.pipeline_health
    where $__timeFilter(checked_at) order by topic_id, checked_at desc
) as latest"""
_AS_OF = " As of the last look at each log in the time range; the export looks every 15 s."


def _looked(title: str, description: str, figure: str, unit: str = "short") -> Said:
    sql = f"select {figure}\n{_LAST_LOOK}"
    return Said(title, description + _AS_OF, sql, unit, width=3, height=4)


_NOW = [
    stat_panel(
        _looked(
            "Freshness",
            "How long after Kafka took them the last exported events were here.",
            "max(freshness_seconds) as freshness",
            SECONDS,
        ),
        LATE,
    ),
    stat_panel(
        _looked("Lag", "Records in Kafka that the lake has not yet.", "sum(lag_records) as lag"),
        _LAGGING,
    ),
    stat_panel(
        Said(
            "Last look",
            "How long ago the export looked last. It looks every 15 s while it runs.",
            "select extract(epoch from now() - max(checked_at)) as ago\n"
            "from runfold.pipeline_health\nwhere $__timeFilter(checked_at)",
            SECONDS,
            width=3,
            height=4,
        ),
        LATE,
    ),
    stat_panel(_looked("Events", "Records that are events and count.", "sum(events) as events")),
    stat_panel(
        _looked(
            "Duplicates",
            "Records that repeat an event, or losses that were accepted: they count nowhere.",
            "sum(duplicates) as duplicates",
        )
    ),
    stat_panel(
        _looked(
            "Dead letters",
            "Records that could not be read: kept, and to be sent again once that is mended.",
            "sum(dead_letters) as dead_letters",
        ),
        ((1, "yellow"),),
    ),
    stat_panel(
        _looked(
            "Missing events",
            "Events that runs numbered and the log never had: lost by their sender.",
            "sum(missing) as missing",
        ),
        _ANY,
    ),
    stat_panel(
        _looked("Holes", "Offsets of the log that the lake has not.", "sum(holes) as holes"), _ANY
    ),
]
_LEDGER = [
    table_panel(
        Said(
            "Ledger",
            "Every record of each log is an event, a duplicate or a dead letter; holes and missing"
            " events are what is not there." + _AS_OF,
            "select topic, topic_id, records, events, duplicates, dead_letters, missing, holes\n"
            f"{_LAST_LOOK}\norder by topic, topic_id",
            width=24,
            height=6,
        ),
        steps={"dead_letters": ((1, "yellow"),), "missing": _ANY, "holes": _ANY},
    ),
    table_panel(
        Said(
            "How far the export is",
            "For each partition what is exported, and when. Whatever the time range.",
            "select kind, topic_id, partition, next_offset, events, dead_letters,\n"
            "       recorded_at as last_record_at, exported_at\n"
            "from runfold.watermarks\norder by kind, topic_id, partition\nlimit 500",
            width=24,
        )
    ),
]


def _over_time(title: str, description: str, column: str, unit: str = "short") -> Said:
    sql = (
        f"select {buckets('checked_at')}, coalesce(topic, topic_id) as metric,\n"
        f"       max({column}) as {column}\nfrom runfold.pipeline_health\n"
        f"where $__timeFilter(checked_at) and {column} is not null\ngroup by 1, 2\norder by 1"
    )
    return Said(title, description, sql, unit, width=8)


_FLOW = [
    graph_panel(
        _over_time("Freshness", "The worst in each interval.", "freshness_seconds", SECONDS), LATE
    ),
    graph_panel(_over_time("Lag", "The most in each interval.", "lag_records")),
    graph_panel(
        Said(
            "Events taken",
            "Events by the moment at which the log took them, by type.",
            f"select {buckets('recorded_at')}, event_type as metric, count(*) as events\n"
            "from runfold.events_recent\nwhere $__timeFilter(recorded_at)\ngroup by 1, 2\n"
            "order by 1",
            width=8,
        ),
        bars=True,
    ),
]
_UNWELL = [
    graph_panel(
        Said(
            "Dead letters by reason",
            "Records that could not be read, by the moment at which the log took them.",
            f"select {buckets('recorded_at')}, reason as metric, count(*) as records\n"
            "from runfold.dead_letters\nwhere $__timeFilter(recorded_at)\ngroup by 1, 2\n"
            "order by 1",
            width=16,
        ),
        bars=True,
    ),
    pie_panel(
        Said(
            "Reasons",
            "Why records could not be read.",
            "select reason, count(*) as records from runfold.dead_letters\n"
            "where $__timeFilter(recorded_at)\ngroup by 1\norder by 2 desc, 1",
            width=8,
        )
    ),
    table_panel(
        Said(
            "Newest dead letters",
            "The last 100. runfold dlq show tells of one, fix and redrive send it again.",
            "select recorded_at, reason, message, topic_id, partition, log_offset, run_id\n"
            "from runfold.dead_letters\nwhere $__timeFilter(recorded_at)\n"
            "order by recorded_at desc, topic_id, partition, log_offset desc\nlimit 100",
            width=24,
        )
    ),
    table_panel(
        Said(
            "Runs with missing events",
            "Runs that were heard of in the time range and whose numbering has holes."
            " runfold run ID says what became of them.",
            "select run_id, agent_name, project, host, status, missing_events, events,"
            " last_seen_at\nfrom runfold.runs\n"
            "where $__timeFilter(last_seen_at) and missing_events > 0\n"
            "order by missing_events desc, run_id\nlimit 100",
            width=12,
        ),
        links=TO_RUN | TO_AGENT,
        steps={"missing_events": _ANY},
    ),
    table_panel(
        Said(
            "Orphaned runs",
            "Open runs last heard of in the time range whose process is gone, and in which tool.",
            "select run_id, agent_name, project, host, status, last_tool, last_tool_open,\n"
            "       last_recorded_at, cost_usd\nfrom runfold.runs\n"
            "where $__timeFilter(last_seen_at) and status = 'orphaned'\n"
            "order by last_recorded_at desc, run_id\nlimit 100",
            width=12,
        ),
        links=TO_RUN | TO_AGENT,
    ),
]


def build() -> Dashboard:
    """Return the dashboard."""
    rows: Rows = {
        "Now": _NOW,
        "Ledger": _LEDGER,
        "Flow": _FLOW,
        "What is not well": _UNWELL,
    }
    return _BOARD.build([], rows)
