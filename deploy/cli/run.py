"""`runfold run ID`: one run, its timeline and its children."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from runfold.deploy.cli.objects import object_words
from runfold.deploy.cli.orphans import circumstances, is_orphaned
from runfold.deploy.cli.run_then import run_then, time_meant
from runfold.deploy.cli.sub_runs import descendants, sub_run_tree
from runfold.deploy.cli.tables import (
    coloured_status,
    human_count,
    human_duration,
    human_usd,
    plain,
    print_rows,
    styled,
)
from runfold.deploy.cli.terminal import OUT, DataDir, Format, Lake
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.sinks.audit.run_record import RunRecord
    from runfold.sinks.query import LakeQueries

_QUIET = "('run.heartbeat', 'log.written')"
_NAMED = 5
"""So many runs are named where the beginning of an id is not enough."""


def run(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its id.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Events to show.")] = 60,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every event, heartbeats and logs too.")
    ] = False,
    at: Annotated[
        str | None, typer.Option("--at", help="As it was known then: 15m, 2h, 3d ago, or a time.")
    ] = None,
    at_event: Annotated[
        int | None, typer.Option("--at-event", metavar="N", help="As it was after N events.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.TABLE,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Show one run: what it was, its timeline, its sub-runs, and whether anything is missing.

    --at and --at-event show the run as the log knew it then, and its last events up to there.
    """
    from runfold.sinks.audit.run_record import run_record
    from runfold.sinks.query import open_lake

    time_then = time_meant(at, at_event)
    with open_lake(load_settings(lake=lake, data_dir=data_dir).lake_dir) as lake_queries:
        shown = find_run(lake_queries, run_id)
        below = descendants(lake_queries, shown["run_id"])
        if time_then or at_event is not None:
            record = None
            _check_past(lake_queries, shown)
            shown, below = run_then(lake_queries, shown, below, at=time_then, at_event=at_event)
        else:
            days = shown["first_recorded_at"].date(), shown["last_recorded_at"].date()
            record = run_record(lake_queries, shown["run_id"], days)
        kinds = "" if everything else f"and event_type not in {_QUIET} "
        bound = "" if everything or output is not Format.TABLE else f"limit {limit}"
        events = _events(lake_queries, shown, kinds, bound)
    if output is not Format.TABLE:
        told = {**shown, "record": record and asdict(record), "timeline": events, "sub_runs": below}
        print_rows([told], output)
        return
    OUT.print(_header(shown, record))
    OUT.print(_timeline(events, shown["started_at"]))
    hidden = shown["events"] - len(events) - (record.expired if record else 0)
    if hidden > 0:
        which = "earlier or quiet" if "as_of" in shown else "more"
        OUT.print(f"[dim]{hidden:,} {which} events; --all shows them[/]")
    if below:
        OUT.print(sub_run_tree(shown, below))


def _check_past(lake_queries: LakeQueries, shown: dict[str, Any]) -> None:
    """Raise ConfigurationError where the past of a run cannot be told: its events are gone."""
    from runfold.sinks.audit.run_record import run_record

    days = shown["first_recorded_at"].date(), shown["last_recorded_at"].date()
    if expired := run_record(lake_queries, shown["run_id"], days).expired:
        raise ConfigurationError(
            f"the past of {shown['run_id']!r} is not known any more: {expired:,} of its events "
            "were removed by age; without --at and --at-event it is shown as it is"
        )


def find_run(lake_queries: LakeQueries, run_id: str) -> dict[str, Any]:
    """Return the row of the run of that id, or of the only one whose id begins so.

    Raises: ConfigurationError naming the runs that may be meant.
    """
    found = lake_queries.rows(
        "select * from runs where starts_with(run_id, ?) "
        f"order by run_id <> ?, run_id limit {_NAMED + 1}",
        [run_id, run_id],
    )
    if found and (len(found) == 1 or found[0]["run_id"] == run_id):
        return found[0]
    if found:
        names = ", ".join(each["run_id"] for each in found[:_NAMED])
        more = " …" if len(found) > _NAMED else ""
        raise ConfigurationError(f"{run_id!r} is the beginning of several runs: {names}{more}")
    near = lake_queries.rows(
        "select run_id from (select run_id, jaro_winkler_similarity(run_id, ?) as likeness "
        "from lake_states) where likeness > 0.8 order by likeness desc, run_id limit 3",
        [run_id],
    )
    names = " or ".join(each["run_id"] for each in near)
    hint = f"did you mean {names}?" if near else "`runfold runs` lists them"
    raise ConfigurationError(f"there is no run {run_id!r}; {hint}")


def _events(
    lake_queries: LakeQueries, shown: dict[str, Any], kinds: str, bound: str
) -> list[dict[str, Any]]:
    """Return the events that a run is known by, the first of them, or the last ones of a past run.

    The days around it are enough, and let files be passed over.
    """
    order = "desc" if "as_of" in shown else "asc"
    first = shown["first_recorded_at"].date() - timedelta(days=1)
    last = shown["last_recorded_at"].date() + timedelta(days=1)
    events = lake_queries.rows(
        'select * from events where run_id = ? and topic_id = ? and "offset" <= ? '
        f"and date between date '{first}' and date '{last}' {kinds}"
        f'order by occurred_at {order}, "offset" {order} {bound}',
        [shown["run_id"], shown["topic_id"], shown["last_offset"]],
    )
    return events if order == "asc" else events[::-1]


def _header(shown: dict[str, Any], record: RunRecord | None) -> Table:
    facts: list[tuple[str, str]] = [
        ("run", f"[bold]{plain(shown['run_id'])}[/]"),
        ("as of", plain(shown.get("as_of"))),
        ("agent", plain(" ".join(filter(None, (shown["agent_name"], shown["agent_version"]))))),
        ("part of", plain(shown["parent_run_id"])),
        ("status", _status(shown)),
        ("project", plain(shown["project"])),
        ("where", plain(" · ".join(filter(None, (shown["host"], shown["environment"]))))),
        ("git", plain(" ".join(filter(None, (
            shown["git_repo"], shown["git_branch"], shown["git_commit_hash"]))))),
        ("started", f"{shown['started_at']:%Y-%m-%d %H:%M:%S} UTC"),
        ("took", human_duration(shown["duration_ms"])),
        ("tokens", _tokens(shown)),
        ("cost", _cost(shown)),
        ("tools", _tools(shown)),
        ("error", plain(": ".join(filter(None, (shown["error_type"], shown["error_message"]))))),
        ("record", _completeness(shown, record)),
        ("sender", _never_came(record)),
    ]  # fmt: skip
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(name, styled(value))
    return table


def _status(shown: dict[str, Any]) -> str:
    status = coloured_status(shown["status"])
    return f"{status}: {circumstances(shown)}" if is_orphaned(shown) else status


def _tokens(shown: dict[str, Any]) -> str:
    kinds = (("in", "input"), ("out", "output"), ("cache read", "cache_read"),
             ("cache write", "cache_write"), ("reasoning", "reasoning"))  # fmt: skip
    counts = [(word, shown[f"{kind}_tokens"]) for word, kind in kinds]
    return ", ".join(f"{human_count(count)} {word}" for word, count in counts if count)


def _cost(shown: dict[str, Any]) -> str:
    own, tree = shown["cost_usd"], shown["tree_cost_usd"]
    return human_usd(own) + (f", {human_usd(tree)} with its sub-runs" if tree > own else "")


def _tools(shown: dict[str, Any]) -> str:
    if not shown["tools_started"] and not shown["tools_ended"]:
        return ""
    failed = f", [red]{shown['tools_failed']} failed[/]" if shown["tools_failed"] else ""
    still = f", still in {plain(shown['last_tool'])}" if shown["last_tool_open"] else ""
    return f"{shown['tools_ended']} ended{failed}{still}"


def _completeness(shown: dict[str, Any], record: RunRecord | None) -> str:
    said = _missing(shown, record)
    if record is None or not record.expired:
        return said
    return f"{said}; {record.expired:,} of them were removed by age and are in the sums only"


def _missing(shown: dict[str, Any], record: RunRecord | None) -> str:
    missing = record.missing if record else shown["missing_events"]
    if not missing:
        return f"[green]complete[/], {shown['events']:,} events"
    said = f"missing {missing:,} of {shown['events'] + missing:,}"
    if record is None:
        return f"[red]{said}[/] events"
    parts = (
        f"{record.dead_letters:,} dead letters" if record.dead_letters else "",
        f"{record.declared_dropped:,} declared dropped" if record.declared_dropped else "",
        f"{record.unidentified:,} may be dead letters without an id" if record.unidentified else "",
    )
    known = ", ".join(filter(None, parts))
    return f"[red]{said}[/]{f' ({known})' if known else ''}: {_numbers(record)}"


def _never_came(record: RunRecord | None) -> str:
    """Return which numbers of a sender that counts by itself are missing."""
    from runfold.sinks.audit.accounts import ranges_text

    holes = record.sender_holes if record else []
    missing = sum(each.last - each.first + 1 for each in holes)
    if not missing:
        return ""
    which = ranges_text((each.first, each.last) for each in holes)
    return f"[red]{missing:,} of its events never came[/]: {which}"


def _numbers(record: RunRecord) -> str:
    """Return the numbers that are missing, by producer where there are several."""
    from runfold.sinks.audit.accounts import ranges_text

    producers = sorted({hole.producer for hole in record.holes})
    texts = {
        name: ranges_text((each.first, each.last) for each in record.holes if each.producer == name)
        for name in producers
    }
    if len(texts) == 1:
        return texts[producers[0]]
    return "; ".join(f"{text} of {producer}" for producer, text in texts.items())


def _timeline(events: list[dict[str, Any]], started_at: datetime) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("at", justify="right", no_wrap=True, style="dim")
    table.add_column("event", no_wrap=True)
    table.add_column("what", overflow="fold")
    for name in ("took", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for event in events:
        offset_ms = (event["occurred_at"] - started_at).total_seconds() * 1000
        tokens = (event["input_tokens"] or 0) + (event["output_tokens"] or 0)
        table.add_row(
            ("+" if offset_ms >= 0 else "") + human_duration(offset_ms),
            Text(event["event_type"]),
            styled(_what(event)),
            human_duration(event["duration_ms"]),
            human_count(tokens or None),
            human_usd(event["cost_usd"]),
        )
    return table


def _what(event: dict[str, Any]) -> str:
    words = [event["tool_name"], event["name"], event["decision"], event["model"]]
    said = [plain(word) for word in words if word]
    if event["value"] is not None:
        said.append(f"{event['value']:g} {plain(event['unit'])}".strip())
    if event["status"]:
        said.append(coloured_status(event["status"]))
    problem = ": ".join(filter(None, (event["error_type"], event["error_message"])))
    if problem:
        said.append(f"[red]{plain(problem)}[/]")
    if document := object_words(event["attributes"]):
        said.append(f"[dim]{plain(document)}[/]")
    return " ".join(said)
