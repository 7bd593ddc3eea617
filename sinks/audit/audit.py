"""The audit of a lake: offsets, files, the ledger, and states against events."""

from __future__ import annotations

from collections.abc import Callable

from runfold.sinks.audit.coverage import Listing, check_contents, cover
from runfold.sinks.audit.ledger import draw_up, missing_events
from runfold.sinks.audit.offsets import check_offsets, notes
from runfold.sinks.audit.report import Facts, Report, Scope
from runfold.sinks.audit.states import compare_states, count_checked, stored_twice
from runfold.sinks.audit.tables import audit_tables
from runfold.sinks.object_path import LakePath

OnStep = Callable[[str], None]
"""Told what is being done."""


def audit(
    root: LakePath, listing: Listing, facts: Facts, scope: Scope, *, on_step: OnStep
) -> Report:
    """Prove that nothing is lost or counted twice in the lake in `root`, or name what is.

    Shape: what the journals hold was read before `listing` was made, and the log's bounds were
    asked for after it, so that an event on its way between them is seen in one of them. Offsets
    and what is in files are the whole lake's business, and are left out for one run.
    Raises: LakeUnavailable (retry) where a listed file is gone; LakeCorrupt.
    """
    whole = scope.run_id is None
    on_step(f"{len(listing.files):,} files")
    coverage = cover(listing, closely=whole)
    findings = list(coverage.findings)
    if whole:
        findings += check_offsets(coverage, facts.log)
        findings += check_contents(coverage.inspected)
    on_step("what events add up to")
    with audit_tables(root, coverage.places, scope, facts.waiting) as tables:
        on_step("the ledger")
        ledger = draw_up(tables, facts, scope)
        findings += missing_events(ledger.accounts)
        on_step("states against events")
        findings += compare_states(tables)
        on_step("events stored twice")
        findings += stored_twice(tables)
        checked = {
            "partitions": len(coverage.places),
            "files": len(coverage.inspected),
            "offsets": sum(place.end - place.first for place in coverage.places),
            **count_checked(tables),
        }
    return Report(
        checked, ledger.sums, ledger.accounts, findings, list(notes(listing, coverage, facts))
    )
