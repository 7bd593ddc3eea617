"""Printing a handful of named counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from rich.table import Table

from runfold.deploy.cli.terminal import OUT, Format


def print_figures(figures: Mapping[str, Any], output: Format, *, title: str) -> None:
    """Print counts by name; a mapping among them gives a row for each of its parts."""
    if output is Format.JSON:
        text = orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode()
        OUT.print(text, markup=False)
        return
    rows = [(name, number) for name, number in _rows(figures) if not isinstance(number, list)]
    if output is Format.CSV:
        for name, number in [("name", "count"), *rows]:
            OUT.print(f"{name},{number}", markup=False)
        return
    table = Table("", "count", title=title, title_justify="left")
    table.columns[1].justify = "right"
    for name, number in rows:
        table.add_row(name, f"{number:,}")
    OUT.print(table)


def _rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield from ((f"{label}: {part}", number) for part, number in value.items())
        else:
            yield label, value
