"""`runfold dlq`: the records that could not become events."""

from __future__ import annotations

import typer

from runfold.deploy.cli.dlq.listing import ls
from runfold.deploy.cli.dlq.sending import fix, redrive
from runfold.deploy.cli.dlq.showing import show

dlq_app = typer.Typer(name="dlq", no_args_is_help=True)


@dlq_app.callback()
def _dead_letters() -> None:
    """Dead letters: see what could not become an event, mend it, send it again.

    Begin with [bold]runfold dlq ls[/] and [bold]runfold dlq show KEY[/]; then try a
    repair by [bold]runfold dlq fix --dry-run[/]. What is sent twice is stored once.
    """


dlq_app.command()(ls)
dlq_app.command()(show)
dlq_app.command()(fix)
dlq_app.command()(redrive)
