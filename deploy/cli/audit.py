"""`runfold audit`: is anything missing, or counted twice?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from runfold.deploy.cli.run import find_run
from runfold.deploy.cli.runs import moment
from runfold.deploy.cli.terminal import ERR, EXIT_FAILED, OUT, Broker, DataDir, Lake
from runfold.deploy.settings import Settings, load_settings
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.sinks.audit.report import Account, Finding, Report, Scope

_MOST_FINDINGS = 30
_MOST_NOTES = 12


class AuditFormat(StrEnum):
    """How the outcome is printed."""

    TABLE = "table"
    JSON = "json"


def audit(
    run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Only this run, by producer.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only runs heard of since: 15m, 2h, 3d, or a time."),
    ] = None,
    output: Annotated[
        AuditFormat, typer.Option("--format", "-f", help="How to print; json has all findings.")
    ] = AuditFormat.TABLE,
    broker: Broker = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="Topic of the log. \\[default: runfold.events]")
    ] = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Prove that nothing was lost and nothing counted twice, or name what was.

    Every offset of the log must be in the lake; every file must hold what it says; of each
    producer emitted = stored + dead letters + declared dropped + still in a journal; each run's
    state must be what its events add up to. Exits with 0 when all balances, 1 when not.

    Journals are those of this machine; where Kafka does not answer, the lake is judged by itself.
    """
    from runfold.sinks.audit.report import Scope

    if run is not None and since is not None:
        raise ConfigurationError("--run and --since exclude each other")
    settings = load_settings(lake=lake, data_dir=data_dir, broker=broker, topic=topic)
    at = None if since is None else moment(since, datetime.now(UTC))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a silent broker is in the notes
    report = _audited(settings, Scope(run, at))
    if output is AuditFormat.JSON:
        OUT.file.write(_as_json(report))
    else:
        _print(report, by_producer=run is not None)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


def _audited(settings: Settings, scope: Scope) -> Report:
    """Audit; a run that nothing is known of may be the beginning of an id."""
    from runfold.deploy.auditing import audit_lake
    from runfold.sinks.audit.report import Scope
    from runfold.sinks.query import open_lake

    with ERR.status("audit") as shown:

        def on_step(step: str) -> None:
            shown.update(f"audit: {escape(step)}")

        report = audit_lake(settings, scope, on_step=on_step)
        if scope.run_id is None or report.knows_runs:
            return report
        with open_lake(settings.lake_dir) as lake_queries:
            found = find_run(lake_queries, scope.run_id)
        return audit_lake(settings, Scope(found["run_id"]), on_step=on_step)


def _as_json(report: Report) -> str:
    def flat(findings: Sequence[Finding]) -> list[dict[str, Any]]:
        return [{"kind": each.kind, "says": each.says, **each.facts} for each in findings]

    said = {
        "ok": report.ok,
        "checked": report.checked,
        "ledger": report.ledger,
        "findings": flat(report.findings),
        "notes": flat(report.notes),
        "accounts": report.accounts,
    }
    return orjson.dumps(said, option=orjson.OPT_INDENT_2).decode() + "\n"


def _print(report: Report, *, by_producer: bool) -> None:
    OUT.print(_ledger(report.ledger))
    if by_producer and report.accounts:
        OUT.print(_producers(report.accounts))
    for finding in report.findings[:_MOST_FINDINGS]:
        OUT.print(f"[red]✘[/] {finding.kind.replace('_', ' ')}: {escape(finding.says)}")
    _print_more(len(report.findings) - _MOST_FINDINGS)
    for note in report.notes[:_MOST_NOTES]:
        OUT.print(f"[dim]{note.kind.replace('_', ' ')}: {escape(note.says)}[/]")
    _print_more(len(report.notes) - _MOST_NOTES)
    checked = ", ".join(f"{count:,} {name}" for name, count in report.checked.items())
    OUT.print(f"[dim]checked {checked}[/]")
    if report.ok:
        OUT.print("[green]✔[/] all balances")
    else:
        count = len(report.findings)
        OUT.print(f"[red]✘[/] {count:,} finding{'s' if count > 1 else ''}")


def _print_more(more: int) -> None:
    if more > 0:
        OUT.print(f"… and {more:,} more")


_LEDGER_LINES = (
    ("emitted", "emitted"),
    ("stored", "stored"),
    ("removed by age", "expired"),
    ("dead letters", "dead_letters"),
    ("declared dropped", "declared_dropped"),
    ("in journals", "in_journals"),
    ("in the log, not in the lake yet", "in_log"),
    ("explained by dead letters without an id", "unidentified"),
    ("missing", "missing"),
)
_ASIDE_LINES = (
    ("stored, with ids from elsewhere", "stored_with_foreign_ids"),
    ("dead letters without an id", "dead_letters_without_id"),
    ("dead letters of no run", "dead_letters_of_no_run"),
)
"""What has no number, and so no place in the sum."""
_ALWAYS_SHOWN = ("emitted", "stored", "missing")


def _ledger(ledger: dict[str, int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("numbered events")
    table.add_column("count", justify="right")
    for words, name in _LEDGER_LINES:
        style = "red" if name == "missing" and ledger[name] else None
        if ledger[name] or name in _ALWAYS_SHOWN:
            table.add_row(words, f"{ledger[name]:,}", style=style, end_section=name == "missing")
    for words, name in _ASIDE_LINES:
        if ledger[name]:
            table.add_row(words, f"{ledger[name]:,}", style="dim")
    return table


def _producers(accounts: list[Account]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("producer", overflow="fold")
    shown = [
        (words, name)
        for words, name in _LEDGER_LINES
        if name in _ALWAYS_SHOWN or any(getattr(each, name) for each in accounts)
    ]
    for words, _ in shown:
        table.add_column(words, justify="right")
    for each in accounts:
        counts = (getattr(each, name) for _, name in shown)
        table.add_row(escape(each.producer), *(f"{count:,}" for count in counts))
    return table
