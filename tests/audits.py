"""Auditing a lake in a test, without a command line and a broker."""

from __future__ import annotations

from runfold.sinks.audit.audit import audit
from runfold.sinks.audit.coverage import list_lake
from runfold.sinks.audit.report import Facts, KnownLog, Report, Scope
from runfold.sinks.object_path import LakePath

NOTHING_KNOWN = Facts(log_unknown="nobody was asked")
ALL_RUNS = Scope()


def audited(root: LakePath, facts: Facts = NOTHING_KNOWN, scope: Scope = ALL_RUNS) -> Report:
    """Audit the lake in `root`."""
    return audit(root, list_lake(root), facts, scope, on_step=lambda _: None)


def log_of(first: int, following: int, *, topic_id: str = "a-topic") -> Facts:
    """Return the facts of a log of one partition."""
    return Facts(KnownLog(topic_id, {0: first}, {0: following}))


def kinds(report: Report) -> list[str]:
    """Return what was found, by kind."""
    return sorted(each.kind for each in report.findings)
