"""`runfold compact`: few large files out of many small ones."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from runfold.deploy.cli.runs import duration
from runfold.deploy.cli.terminal import ERR, OUT, DataDir, Lake
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.lake import CompactionCounts

if TYPE_CHECKING:
    from runfold.sinks.compaction.whole_lake import Part, Stored
    from runfold.sinks.lake_files import Kind
    from runfold.sinks.object_path import LakePath


class CompactFormat(StrEnum):
    """How the outcome is printed."""

    TABLE = "table"
    JSON = "json"


def compact(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be merged and removed; do nothing.")
    ] = False,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            metavar="SPAN",
            help="How long merged files stay, for queries that read them: 0, 30s, 15m, 2h. "
            "0 only where nobody asks.",
        ),
    ] = "15m",
    output: Annotated[
        CompactFormat, typer.Option("--format", "-f", help="How to print the outcome.")
    ] = CompactFormat.TABLE,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Merge the lake's small files into few of 64 to 256 MB, and remove what was merged.

    Workers do this by themselves, every minute, for the partitions that they own; this does it
    for the whole lake at once. Safe while workers run, safe to interrupt and to repeat.
    """
    from runfold.deploy.log_output import configure_logging
    from runfold.sinks.compaction.whole_lake import stored, what_compaction_would_do
    from runfold.sinks.lake_files import check_lake

    root = load_settings(lake=lake, data_dir=data_dir).lake_dir
    kept_for = _grace(grace)
    check_lake(root)
    configure_logging(quiet=True)
    before = stored(root)
    if dry_run:
        with ERR.status("looking"):
            done = what_compaction_would_do(root, kept_for)
        after = before
    else:
        done = _compacted(root, kept_for)
        after = stored(root)
    if output is CompactFormat.JSON:
        OUT.file.write(_as_json(before, after, done, dry_run=dry_run))
    else:
        _print(before, after, done, dry_run=dry_run)


def _grace(text: str) -> timedelta:
    span = timedelta(0) if text.strip() == "0" else duration(text)
    if span is None:
        raise ConfigurationError(f"--grace is no span of time: {text!r}; use 0, 30s, 15m or 2h")
    return span


def _compacted(root: LakePath, grace: timedelta) -> CompactionCounts:
    from runfold.sinks.compaction.whole_lake import compact_lake, parts

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR, transient=True) as progress:
        task = progress.add_task("compacting", total=len(parts(root)))
        begun = False

        def on_part(part: Part) -> None:
            nonlocal begun
            progress.update(
                task,
                advance=1 if begun else 0,
                description=f"partition {part.log.partition} of {part.log.topic_id}",
            )
            begun = True

        return compact_lake(root, grace, on_part)


def _as_json(
    before: dict[Kind, Stored], after: dict[Kind, Stored], done: CompactionCounts, *, dry_run: bool
) -> str:
    said = {
        "dry_run": dry_run,
        "before": {str(kind): dataclasses.asdict(each) for kind, each in before.items()},
        "after": {str(kind): dataclasses.asdict(each) for kind, each in after.items()},
        **dataclasses.asdict(done),
    }
    return orjson.dumps(said, option=orjson.OPT_INDENT_2).decode() + "\n"


def _print(
    before: dict[Kind, Stored], after: dict[Kind, Stored], done: CompactionCounts, *, dry_run: bool
) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("files", "MB") if dry_run else ("files before", "MB", "files after", "MB"):
        table.add_column(name, justify="right")
    for kind in before:
        shown = [before[kind]] if dry_run else [before[kind], after[kind]]
        cells = (
            cell for each in shown for cell in (f"{each.files:,}", _megabytes(each.size_bytes))
        )
        table.add_row(str(kind), *cells)
    OUT.print(table)
    would = "would be " if dry_run else ""
    OUT.print(
        f"{done.merged_files:,} files {would}merged into {done.written_files:,}; "
        f"{done.removed_files:,} files ({_megabytes(done.removed_bytes)} MB) {would}removed"
    )
    left = done.merged_files - done.removed_files
    if left > 0:
        OUT.print("[dim]files that were merged are removed when the grace is over[/]")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f}"
