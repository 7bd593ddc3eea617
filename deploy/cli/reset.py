"""`runfold reset`: begin anew on this machine."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from runfold.deploy.cli.terminal import OUT, DataDir
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError

_PARTS = ("kafka", "lake", "postgres", "collector", "run", "logs")
"""What the stack keeps under its data directory; journals hold what was not sent yet, and stay."""


def reset(
    data_dir: DataDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all that the stack over the data directory has kept: log, lake, Postgres.

    Agents' journals stay: what they have not sent yet comes into the next log. A lake or a Postgres
    elsewhere is not touched.
    """
    from runfold.deploy.stack import StackPlaces, is_stack_running

    home = load_settings(data_dir=data_dir).home
    if is_stack_running(home):
        raise ConfigurationError(f"a stack runs over {home}; `runfold down` stops it")
    there = [home / part for part in _PARTS if (home / part).exists()]
    if not there:
        OUT.print(f"nothing to delete under {home}")
        return
    names = ", ".join(each.name for each in there)
    if not yes:
        typer.confirm(f"Delete {names} under {home}?", abort=True)
    for each in there:
        shutil.rmtree(each)
    StackPlaces(home).description.unlink(missing_ok=True)  # what a killed stack has left
    OUT.print(f"deleted {names} under {home}")
