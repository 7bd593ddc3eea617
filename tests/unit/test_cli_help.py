"""The texts of `--help`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import typer.main
from typer.testing import CliRunner

from runfold.deploy.cli.app import app

_SWALLOWED = re.compile(r"(?<!\\)\[[a-z]+: ")
"""What rich takes for markup and shows nobody."""


def _helps(command: object, name: str) -> Iterator[tuple[str, str]]:
    for each in getattr(command, "params", ()):
        yield f"{name} {each.name}", getattr(each, "help", None) or ""
    for sub, below in getattr(command, "commands", {}).items():
        yield from _helps(below, f"{name} {sub}")


def test_no_default_is_swallowed_as_markup() -> None:
    helps = dict(_helps(typer.main.get_command(app), "runfold"))
    assert len(helps) > 100
    assert [name for name, text in helps.items() if _SWALLOWED.search(text)] == []


def test_a_default_and_an_example_are_shown() -> None:
    shown = CliRunner().invoke(app, ["replay", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert "[default: DATA_DIR/lake]" in shown.output
    assert "runfold replay diff original check" in shown.output
