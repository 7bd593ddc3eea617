"""What all commands share: consoles, option types, and how an error becomes an exit code."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

_PIPE_WIDTH = 400  # into a pipe or a file nothing is folded

OUT = Console(
    highlight=False,
    emoji=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else _PIPE_WIDTH,
)
"""Results. Colours turn off by NO_COLOR and where the output is no terminal."""
ERR = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
"""Progress and errors."""

EXIT_FAILED = 1
EXIT_USAGE = 2


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of all that runfold keeps. \\[default: ~/.runfold]"),
]
Broker = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="HOST:PORT",
        help="Kafka to use. \\[default: the running stack's, else 127.0.0.1:9092]",
    ),
]
Lake = Annotated[
    str | None,
    typer.Option(
        "--lake",
        metavar="FOLDER|s3://BUCKET/PREFIX",
        help="Where the lake lies. \\[default: DATA_DIR/lake]",
    ),
]
Postgres = Annotated[
    str | None,
    typer.Option(
        "--postgres",
        metavar="URL",
        help="PostgreSQL to export to, as postgresql://USER:PASSWORD@HOST:PORT/DATABASE; "
        "better in RUNFOLD_POSTGRES, where no other user sees it. \\[default: the running stack's]",
    ),
]
DeadLetterCap = Annotated[
    float | None,
    typer.Option(
        "--dead-letter-cap",
        metavar="SHARE",
        help="Halt where more of the last 10,000 records are no events; 1 never. \\[default: 0.5]",
    ),
]


def fail(message: str, *, hint: str | None = None, code: int = EXIT_FAILED) -> typer.Exit:
    """Print an error and return what to raise."""
    ERR.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        ERR.print(f"[dim]{escape(hint)}[/]")
    return typer.Exit(code)
