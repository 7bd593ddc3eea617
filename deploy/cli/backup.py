"""`runfold backup` and `runfold restore`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runfold.deploy.cli.terminal import ERR, EXIT_FAILED, OUT, Broker, DataDir, Format, Lake
from runfold.deploy.settings import Settings, load_settings
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.sinks.erasure.record import Erasure

_MOST_PROBLEMS = 20

Place = Annotated[
    str, typer.Argument(metavar="FOLDER|s3://BUCKET/PREFIX", help="Where backups are kept.")
]
LakeOnly = Annotated[
    bool,
    typer.Option("--lake-only", help="Leave the topics out (dead letters, keys); ask no Kafka."),
]
Topic = Annotated[
    str | None, typer.Option("--topic", help="Topic of the events. \\[default: runfold.events]")
]


class Output(StrEnum):
    """How the outcome is printed."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--format", "-f", help="How to print the outcome.")]


def backup(
    place: Place,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Make none: read back all that are there. Exits 1 if bad."),
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Make none: list those that are there.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option("--keep", metavar="N", min=1, help="Then remove all but the newest N."),
    ] = None,
    lake_only: LakeOnly = False,
    output: OutputOption = Output.TABLE,
    broker: Broker = None,
    topic: Topic = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Copy the lake, and the topics that it does not hold, to another place.

    Safe while workers run: a backup is a set of whole files that tile the log up to some offset.
    The next one in the same place copies only what is new. What it has just copied is read back;
    --verify reads everything. Records that Kafka has and the lake has not yet are not in it, and
    are counted.

    For example: runfold backup /mnt/backups --keep 14
    """
    from runfold.sinks.object_path import lake_path

    if verify and listed:
        raise ConfigurationError("--verify and --list exclude each other")
    where = lake_path(place)
    if listed:
        _list(where, output)
        return
    if verify:
        _verify(where, output)
        return
    from runfold.deploy.backups import back_up
    from runfold.sinks.backup.taking import keep_newest

    settings = load_settings(broker=broker, topic=topic, lake=lake, data_dir=data_dir)
    with _progress("backing up") as (on_step, on_file):
        taken = back_up(settings, where, lake_only=lake_only, on_step=on_step, on_file=on_file)
    removed, removed_bytes = keep_newest(where, keep) if keep is not None else ([], 0)
    said = _about(taken.manifest) | {
        "new_files": taken.new_files,
        "new_bytes": taken.new_bytes,
        "removed": removed,
        "removed_bytes": removed_bytes,
    }
    if output is Output.JSON:
        _print_json(said)
        return
    OUT.print(
        f"{said['name']}: {said['files']:,} files, {_megabytes(said['size_bytes'])}, of which "
        f"{taken.new_files:,} files, {_megabytes(taken.new_bytes)}, are new in {escape(place)}"
    )
    for each in taken.manifest.topics:
        if each.records is not None:
            OUT.print(f"{each.name}: {each.records:,} records")
    if taken.manifest.not_in_lake:
        OUT.print(
            f"[yellow]{taken.manifest.not_in_lake:,} records were in Kafka and not in the lake "
            "yet: they are not in this backup[/]"
        )
    if removed:
        OUT.print(f"{len(removed)} older backups removed, {_megabytes(removed_bytes)}")


def restore(
    place: Place,
    name: Annotated[
        str | None, typer.Option("--backup", metavar="NAME", help="Which. \\[default: the newest]")
    ] = None,
    lake_only: LakeOnly = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Delete the lake that is there first; stop the stack before."
        ),
    ] = False,
    output: OutputOption = Output.TABLE,
    broker: Broker = None,
    lake: Annotated[
        str | None,
        typer.Option(
            "--lake",
            "--to",
            metavar="FOLDER|s3://BUCKET/PREFIX",
            help="Where the lake is to lie; no lake may be there. \\[default: DATA_DIR/lake]",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Put a backup back on an empty machine: the lake, and the topics.

    Start Kafka first (`runfold up`, or your own). Topics that are missing are created as they were.
    A topic of events that is created anew is another log: it goes beside the restored one in the
    lake, and readers see both. Safe to interrupt and to repeat.

    For example: runfold restore /mnt/backups --to /var/lib/runfold/lake
    """
    from runfold.deploy.backups import restore as restore_backup
    from runfold.sinks.backup.manifest import find_backup
    from runfold.sinks.object_path import lake_path

    where = lake_path(place)
    manifest = find_backup(where, name)
    settings = load_settings(broker=broker, lake=lake, data_dir=data_dir)
    replaced = _remove_lake(settings) if replace else []
    with _progress("restoring") as (on_step, on_file):
        done = restore_backup(
            settings,
            where,
            manifest,
            lake_only=lake_only,
            replaced=replaced,
            on_step=on_step,
            on_file=on_file,
        )
    if output is Output.JSON:
        said = {
            "copied_bytes": done.size_bytes,
            "folded": done.folded,
            "sent": done.records,
            "later_erasures": done.erasures,
        }
        _print_json(_about(manifest) | said)
        return
    OUT.print(
        f"{manifest.name} restored to {escape(str(settings.lake_dir))}: {len(manifest.files):,} "
        f"files, {_megabytes(manifest.size_bytes)}"
    )
    if done.folded:
        OUT.print(f"{done.folded:,} stored events folded, which the states had not reached")
    for topic, records in done.records.items():
        OUT.print(f"{topic}: {records:,} records sent")
    if done.erasures:
        OUT.print(
            f"[yellow]{len(done.erasures):,} erasures came after this backup; what they removed is "
            "back: start the stack and run `runfold erase --again`[/]"
        )
    OUT.print("[dim]start the workers; `runfold audit` proves that nothing is missing[/]")


def _remove_lake(settings: Settings) -> list[Erasure]:
    """Delete the lake of `settings`, unless it is one that is being restored.

    Shape: returns the erasures that were noted in it.
    """
    from runfold.deploy.stack import is_stack_running
    from runfold.sinks.backup.restoring import is_restoring
    from runfold.sinks.erasure.record import erasures
    from runfold.sinks.lake_errors import lake_errors
    from runfold.sinks.lake_files import check_lake
    from runfold.sinks.storage import at

    root = settings.lake_dir
    if is_stack_running(settings.home):
        raise ConfigurationError("the stack runs over this lake; `runfold down` stops it")
    with lake_errors(root, "list"):
        is_there = bool(at(root).names())
    if not is_there:
        return []
    noted = erasures(root)
    if not is_restoring(root):
        check_lake(root)  # and nothing else is deleted
        with lake_errors(root, "remove"):
            at(root).remove_all()
    return noted


def _list(place: Any, output: Output) -> None:
    from runfold.deploy.cli.tables import print_rows
    from runfold.sinks.backup.manifest import backup_names, read_manifest

    rows = [_about(read_manifest(place, name)) for name in backup_names(place)]
    print_rows(rows, Format(output.value))


def _verify(place: Any, output: Output) -> None:
    from runfold.sinks.backup.manifest import backup_names, read_manifest
    from runfold.sinks.backup.taking import verify_backup

    problems: dict[str, list[str]] = {}
    names = backup_names(place)
    if not names:
        raise ConfigurationError(f"there is no backup in {place}")
    for name in names:
        with _progress(f"reading {name}") as (_, on_file):
            problems[name] = verify_backup(place, read_manifest(place, name), on_file)
    if output is Output.JSON:
        _print_json({"ok": not any(problems.values()), "problems": problems})
    else:
        for name, found in problems.items():
            mark = "[red]✘[/]" if found else "[green]✔[/]"
            OUT.print(f"{mark} {name}" + (f": {len(found):,} files are bad" if found else ""))
            for each in found[:_MOST_PROBLEMS]:
                OUT.print(f"  {escape(each)}")
    if any(problems.values()):
        raise typer.Exit(EXIT_FAILED)


def _about(manifest: Any) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
        "logs": [asdict(each) for each in manifest.logs],
        "topics": {each.name: each.records for each in manifest.topics},
        "not_in_lake": manifest.not_in_lake,
    }


@contextmanager
def _progress(doing: str) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Give what says the step, and what says how many files are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=ERR, transient=True) as shown:
        task = shown.add_task(doing, total=None)
        yield (
            lambda step: shown.update(task, description=step),
            lambda done, total: shown.update(task, completed=done, total=total),
        )


def _print_json(said: dict[str, Any]) -> None:
    OUT.file.write(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode() + "\n")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
