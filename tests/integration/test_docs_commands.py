"""The commands of the documentation, typed as they stand there into one stack with a demo."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runfold.deploy.settings import running_stack
from tests.integration.stack_parts import wait_until
from tests.integration.test_stack import Home

_ROOT = Path(__file__).parents[2]
_PAGES = [str(each.relative_to(_ROOT)) for each in (*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md"))]
_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>sh|python)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands in a fence of a page, and in the comment above it.

    Shape: the comment of shell commands is none, `not run: why` or `exits with 1: why`, which is
    about the last line; that of Python none, `saved as FILE` or `run as FILE`.
    """

    note: str
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        """Whether a test types it."""
        if self.language == "python":
            return self.note.startswith(("saved as ", "run as "))
        return not self.note.startswith("not run: ")


def blocks(text: str) -> list[Block]:
    """Return the shell commands and the Python of a page, in order."""
    return [
        Block(found["note"] or "", found["language"], found["text"])
        for found in _BLOCK.finditer(text)
    ]


class Reader:
    """Someone who follows a page in a terminal of their own, beside the stack."""

    def __init__(self, home: Home, folder: Path) -> None:
        self._home = home
        self._folder = folder
        stack = running_stack(home.data)
        self._instead = {
            "127.0.0.1:9092": stack["broker"],
            "127.0.0.1:8765": stack["collector"][0],
            "/mnt/backups": str(folder / "backups"),
        }
        commands = folder / "bin"
        commands.mkdir()
        for name, words in {"python": [], "runfold": ["-m", "runfold.deploy"]}.items():
            command = commands / name
            command.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *words])} "$@"\n')
            command.chmod(0o755)
        self._environment = home.environment | {"PATH": f"{commands}:{os.environ['PATH']}"}

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        text = block.text
        if "runfold run " in text:
            self._wait_for_the_lake()
        for there, here in self._instead.items():
            text = text.replace(there, here)
        how, _, name = block.note.partition(" as ")
        if block.language == "python":
            (self._folder / name).write_text(text, "utf-8")
            if how == "run":
                self._type(f"python {name}")
        elif block.note.startswith("exits with 1: "):
            before, _, last = text.strip().rpartition("\n")
            self._type(before)
            self._type(last, code=1)
        else:
            self._type(text)

    def _type(self, text: str, code: int = 0) -> None:
        done = subprocess.run(
            ["bash", "-euc", text],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{text}\n{done.stdout}{done.stderr}"

    def _wait_for_the_lake(self) -> None:
        self._home.type("ship")  # what an agent could not send in its last two seconds
        wait_until(
            lambda: self._home.status().get("lag_records") == 0, "folded", workers=[self._home]
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("docs"))
    listen = {f"RUNFOLD_COLLECTOR{name}LISTEN": "127.0.0.1:0" for name in ("_", "_GRPC_")}
    home.environment |= listen | {"RUNFOLD_COLLECTOR_HEALTH_LISTEN": ""}
    home.start("up")
    home.type("demo", "--runs", "60")
    wait_until(lambda: home.status().get("lag_records") == 0, "folded", workers=[home])
    yield home
    home.stop()


def _run_blocks(page: str) -> list[Block]:
    found = blocks((_ROOT / page).read_text("utf-8"))
    return [each for each in found if each.is_run]


@pytest.mark.parametrize("page", [each for each in _PAGES if _run_blocks(each)])
def test_what_a_page_says_can_be_typed(page: str, home: Home, tmp_path: Path) -> None:
    reader = Reader(home, tmp_path)
    for block in _run_blocks(page):
        reader.follow(block)


def test_a_block_is_run_unless_it_says_why_not() -> None:
    text = "<!-- not run: a -->\n```sh\nb\n```\n```sh\nc\n```\n```python\nd\n```\n"
    text += "<!-- run as e.py -->\n```python\nf\n```\n"
    assert [each.text for each in blocks(text) if each.is_run] == ["c\n", "f\n"]
