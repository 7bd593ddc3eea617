"""`runfold quickstart`: the stack, something to look at, and the table of runs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runfold.deploy.cli.terminal import OUT, DataDir
from runfold.deploy.cli.up import run_stack
from runfold.deploy.settings import Settings, load_settings
from runfold.deploy.worker_status import read_status
from runfold.schemas.topic import EVENTS

if TYPE_CHECKING:
    from runfold.deploy.stack import Stack

_CLAUDE_CODE_SESSIONS = Path("~/.claude/projects")
_FOLDED_WITHIN_SECONDS = 60.0
_RUNS_SHOWN = "15"


def quickstart(
    sessions: Annotated[
        Path, typer.Option("--sessions", help="Where Claude Code keeps its sessions.")
    ] = _CLAUDE_CODE_SESSIONS,
    data_dir: DataDir = None,
) -> None:
    """Start everything, import your Claude Code sessions or a demo, show the runs, keep running."""
    settings = load_settings(data_dir=data_dir)
    run_stack(settings, then=lambda stack: _show_something(stack, settings, sessions.expanduser()))


def _show_something(stack: Stack, settings: Settings, sessions: Path) -> None:
    if any(sessions.rglob("*.jsonl")):
        _runfold(settings, "import", "claude-code", str(sessions), "--broker", stack.broker)
    elif not _has_runs(settings):
        OUT.print(f"[dim]no Claude Code sessions in {sessions}: here is a made-up fleet[/]")
        _runfold(settings, "demo", "--broker", stack.broker)
    _wait_until_folded(stack)
    _runfold(settings, "runs", "--limit", _RUNS_SHOWN)


def _runfold(settings: Settings, *arguments: str) -> None:
    command = [sys.executable, "-m", "runfold.deploy", *arguments]
    subprocess.run([*command, "--data-dir", str(settings.home)], check=False)


def _has_runs(settings: Settings) -> bool:
    from runfold.sinks.query import open_lake

    with open_lake(settings.lake_dir) as lake_queries:
        return bool(lake_queries.rows("select run_id from runs limit 1"))


def _wait_until_folded(stack: Stack) -> None:
    from runfold.deploy.log_lag import log_bounds

    bounds = asyncio.run(log_bounds(stack.broker, EVENTS.name))
    give_up_at = time.monotonic() + _FOLDED_WITHIN_SECONDS
    while time.monotonic() < give_up_at:
        status = read_status(stack.places.worker_status) or {}
        durable = {int(each): at for each, at in status.get("durable_offsets", {}).items()}
        if bounds.lag(durable) == 0:
            return
        time.sleep(0.1)
