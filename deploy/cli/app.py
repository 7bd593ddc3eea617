"""The command line: gathers the commands and turns errors into exit codes."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import typer

from runfold.deploy.cli.accept import accept_app
from runfold.deploy.cli.audit import audit
from runfold.deploy.cli.backup import backup, restore
from runfold.deploy.cli.collector import collector
from runfold.deploy.cli.compact import compact
from runfold.deploy.cli.demo import demo
from runfold.deploy.cli.dlq import dlq_app
from runfold.deploy.cli.doctor import doctor
from runfold.deploy.cli.erase import erase
from runfold.deploy.cli.export import export
from runfold.deploy.cli.imports import import_app
from runfold.deploy.cli.keys import keys_app
from runfold.deploy.cli.objects import object_app
from runfold.deploy.cli.query import query
from runfold.deploy.cli.quickstart import quickstart
from runfold.deploy.cli.replay import replay_app
from runfold.deploy.cli.reset import reset
from runfold.deploy.cli.retention import retention
from runfold.deploy.cli.run import run as show_run
from runfold.deploy.cli.runs import runs
from runfold.deploy.cli.ship import ship
from runfold.deploy.cli.status import logs, status
from runfold.deploy.cli.tail import tail
from runfold.deploy.cli.terminal import EXIT_FAILED, EXIT_USAGE, OUT, fail
from runfold.deploy.cli.up import down, up
from runfold.deploy.cli.worker import worker
from runfold.schemas.errors import (
    BrokerUnavailable,
    ConfigurationError,
    QueryFailed,
    RunfoldError,
)

_ABOUT_KAFKA = (
    "`runfold up` starts a Kafka here; --broker HOST:PORT or RUNFOLD_BROKER names another"
)

app = typer.Typer(
    name="runfold",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See what your agents did, what it cost, and why one died.",
    epilog="Start with [bold]runfold up[/], then [bold]runfold demo[/] in another terminal.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        OUT.print(f"runfold {importlib.metadata.version('runfold')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version


app.command()(quickstart)
app.command()(up)
app.command()(down)
app.command()(reset)
app.command()(status)
app.command()(logs)
app.command()(doctor)
app.command()(worker)
app.command()(collector)
app.command()(runs)
app.command("run")(show_run)
app.command()(query)
app.command()(audit)
app.command()(compact)
app.command()(export)
app.command()(backup)
app.command()(restore)
app.command()(retention)
app.command()(erase)
app.command()(tail)
app.command()(ship)
app.command()(demo)
app.add_typer(import_app)
app.add_typer(accept_app)
app.add_typer(replay_app)
app.add_typer(dlq_app)
app.add_typer(keys_app)
app.add_typer(object_app)


def run() -> None:
    """Run the command line. A wrong use exits with 2, a failure with 1, Ctrl-C with 130."""
    try:
        app()
    except (ConfigurationError, QueryFailed) as error:
        raise SystemExit(fail(str(error), code=EXIT_USAGE).exit_code) from error
    except BrokerUnavailable as error:
        raise SystemExit(fail(str(error), hint=_ABOUT_KAFKA).exit_code) from error
    except RunfoldError as error:
        raise SystemExit(fail(str(error), code=EXIT_FAILED).exit_code) from error
    except KeyboardInterrupt as error:
        raise SystemExit(130) from error
