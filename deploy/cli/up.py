"""`runfold up` and `runfold down`: the stack on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from runfold.deploy.cli.terminal import (
    ERR,
    OUT,
    Broker,
    DataDir,
    DeadLetterCap,
    Lake,
    Postgres,
    fail,
)
from runfold.deploy.settings import Settings, load_settings, running_stack

if TYPE_CHECKING:
    from runfold.deploy.stack import Stack

_DOWN_WITHIN_SECONDS = 60.0


def up(
    data_dir: DataDir = None,
    broker: Broker = None,
    lake: Lake = None,
    flush_interval: Annotated[
        float | None,
        typer.Option(
            "--flush-interval", metavar="SECONDS", help="Between two writes. \\[default: 2]"
        ),
    ] = None,
    dead_letter_cap: DeadLetterCap = None,
    postgres: Postgres = None,
) -> None:
    """Start Kafka, PostgreSQL, the worker, the collector and the export; Ctrl-C stops them.

    Kafka and PostgreSQL are the real ones, with their data under the data directory, so the next
    `up` finds them again. With --broker HOST:PORT that Kafka is used and none is started, with
    --postgres URL that PostgreSQL. A port of the collector that is taken is replaced by the next
    free one; RUNFOLD_COLLECTOR_LISTEN chooses others.
    """
    run_stack(
        load_settings(
            data_dir=data_dir,
            broker=broker,
            lake=lake,
            flush_interval_seconds=flush_interval,
            dead_letter_cap=dead_letter_cap,
            postgres=postgres,
        ),
    )


def run_stack(settings: Settings, *, then: Callable[[Stack], None] | None = None) -> None:
    """Run the stack until Ctrl-C or SIGTERM; call `then` once it is up."""
    from runfold.deploy.stack import Stack

    signal.signal(signal.SIGTERM, _interrupt)
    stack = Stack(settings)
    try:
        with stack.running(_step):
            if then is not None:
                then(stack)
            _say_what_next(stack, settings)
            stack.watch(_step)
    except KeyboardInterrupt:
        OUT.print("[dim]stopped; `runfold up` goes on where this ended[/]")


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _step(doing: str) -> Callable[[str], None]:
    started = time.monotonic()
    status = ERR.status(f"[dim]{doing} …[/]")
    if ERR.is_terminal:
        status.start()

    def done(outcome: str) -> None:
        status.stop()
        OUT.print(f"[green]✔[/] {outcome} [dim]{time.monotonic() - started:.1f} s[/]")

    return done


def _say_what_next(stack: Stack, settings: Settings) -> None:
    OUT.print()
    OUT.print(f"  Kafka       [bold]{stack.broker}[/]")
    OUT.print(f"  collector   [bold]{', '.join(stack.collector.addresses)}[/]")
    OUT.print(f"  page        {stack.collector.page}")
    OUT.print(f"  lake        {settings.lake_dir}")
    OUT.print(f"  PostgreSQL  [bold]{stack.export.address}[/]")
    if stack.export.url_file is not None:
        OUT.print(f'              [dim]psql "$(cat {stack.export.url_file})"[/]')
    OUT.print(f"  logs        {stack.places.worker_log.parent}")
    OUT.print()
    OUT.print("  Now, in another terminal:")
    OUT.print("    [bold]runfold import claude-code[/]   your Claude Code sessions")
    OUT.print("    [bold]runfold demo[/]                 or a made-up fleet")
    OUT.print("    [bold]runfold runs[/]                 what ran, newest first")
    OUT.print("    [bold]runfold tail[/]                 events as they come")
    OUT.print("  Ctrl-C stops everything; nothing is lost by it.")
    OUT.print()


def down(data_dir: DataDir = None) -> None:
    """Stop the stack that runs over the data directory."""
    from runfold.deploy.stack import is_stack_running

    home: Path = load_settings(data_dir=data_dir).home
    pid = running_stack(home).get("pid")
    if not isinstance(pid, int) or not is_stack_running(home):
        OUT.print(f"nothing runs over {home}")
        return
    os.kill(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + _DOWN_WITHIN_SECONDS
    while is_stack_running(home):
        if time.monotonic() > give_up_at:
            raise fail(f"process {pid} did not stop in {_DOWN_WITHIN_SECONDS:.0f} s")
        time.sleep(0.1)
    OUT.print(f"stopped the stack over {home}")
