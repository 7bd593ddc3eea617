"""Alerts, as a file that Grafana provisions.

Grafana fills variables of the environment into such a file, so nothing in it has a dollar sign:
the questions say their time range themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from runfold.deploy.grafana.drilling import BAD
from runfold.deploy.grafana.questions import DATASOURCE, TABLE, Query

_HEADER = "# Built by `make dashboards` from deploy/grafana/alerts.py. Limits are changed there.\n"
_LAST_LOOK = """from (
    select distinct on (topic_id) * from runfold.pipeline_health
    where checked_at > now() - interval '10 minutes' order by topic_id, checked_at desc
) as latest"""


@dataclass(frozen=True, slots=True)
class Alert:
    """Fires when one figure is above a limit for long enough.

    Shape: `sql` gives one row with one number. Units: `limit` those of the number; `lasting` as
    Grafana writes durations; `board` is the dashboard that shows more.
    """

    uid: str
    title: str
    summary: str
    sql: str
    limit: float
    lasting: str
    board: str
    severity: str = "warning"
    without_data: str = "OK"


ALERTS = (
    Alert(
        "runfold-freshness",
        "The export is not fresh",
        "What dashboards show is more than 2 minutes behind the log, or the export does not run.",
        "select greatest(extract(epoch from now() - checked_at), freshness_seconds) as seconds\n"
        "from runfold.pipeline_health\norder by checked_at desc\nlimit 1",
        120,
        "2m",
        "runfold-pipeline",
        "critical",
        "Alerting",
    ),
    Alert(
        "runfold-lag",
        "The lake lags behind Kafka",
        "More than 100,000 records are in Kafka and not in the lake: are the workers running?",
        f"select coalesce(sum(lag_records), 0) as records\n{_LAST_LOOK}",
        100_000,
        "10m",
        "runfold-pipeline",
        "critical",
    ),
    Alert(
        "runfold-dead-letters",
        "Records cannot be read",
        "Dead letters in the last 15 minutes: runfold dlq ls tells why.",
        "select count(*) as records from runfold.dead_letters\n"
        "where recorded_at > now() - interval '15 minutes'",
        0,
        "0s",
        "runfold-pipeline",
    ),
    Alert(
        "runfold-holes",
        "The lake has holes",
        "Offsets of the log are not in the lake: runfold audit names them.",
        f"select coalesce(sum(holes), 0) as offsets\n{_LAST_LOOK}",
        0,
        "5m",
        "runfold-pipeline",
        "critical",
    ),
    Alert(
        "runfold-missing",
        "Runs lose events",
        "Runs heard of in the last hour numbered events that the log has not: runfold audit.",
        "select coalesce(sum(missing_events), 0) as events from runfold.runs\n"
        "where last_seen_at > now() - interval '1 hour'",
        0,
        "10m",
        "runfold-pipeline",
    ),
    Alert(
        "runfold-orphaned",
        "Runs are orphaned",
        "Runs went silent in the last 2 hours without an end: their processes are gone.",
        "select count(*) as runs from runfold.runs\n"
        "where status = 'orphaned' and last_seen_at > now() - interval '2 hours'",
        0,
        "0s",
        "runfold-fleet",
    ),
    Alert(
        "runfold-error-rate",
        "Many runs end badly",
        "More than a fifth of the runs of the last hour (10 at least) failed or were orphaned.",
        f"select case when count(*) < 10 then 0\n"
        f"            else 100.0 * count(*) filter (where {BAD}) / count(*) end as share\n"
        "from runfold.runs\nwhere started_at > now() - interval '1 hour'",
        20,
        "5m",
        "runfold-fleet",
    ),
    Alert(
        "runfold-cost",
        "Today is expensive",
        "Agents have spent more than 100 USD since midnight UTC.",
        "select coalesce(sum(cost_usd), 0) as cost from runfold.costs_daily\n"
        "where day = (now() at time zone 'UTC')::date",
        100,
        "0s",
        "runfold-costs",
    ),
)


class _Readable(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Readable.add_representer(str, _text)


def text() -> str:
    """Return the file."""
    group = {
        "orgId": 1,
        "name": "runfold",
        "folder": "runfold",
        "interval": "1m",
        "rules": [_rule(each) for each in ALERTS],
    }
    return _HEADER + yaml.dump(
        {"apiVersion": 1, "groups": [group]}, Dumper=_Readable, sort_keys=False, width=100
    )


def _rule(alert: Alert) -> dict[str, Any]:
    asked = {"datasourceUid": DATASOURCE.uid, "model": Query(alert.sql, TABLE).to_json()}
    judged = {
        "refId": "B",
        "type": "threshold",
        "expression": "A",
        "datasource": {"type": "__expr__", "uid": "__expr__"},
        "conditions": [{"type": "query", "evaluator": {"type": "gt", "params": [alert.limit]}}],
    }
    return {
        "uid": alert.uid,
        "title": alert.title,
        "condition": "B",
        "data": [
            {"refId": "A", "relativeTimeRange": {"from": 3600, "to": 0}, **asked},
            {"refId": "B", "datasourceUid": "__expr__", "model": judged},
        ],
        "for": alert.lasting,
        "noDataState": alert.without_data,
        "execErrState": "Error",
        "annotations": {"summary": alert.summary, "__dashboardUid__": alert.board},
        "labels": {"severity": alert.severity},
    }
