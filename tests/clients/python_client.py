"""Clients of other people from PyPI: each in a virtual environment of its own, in the build folder.

They are what their users run: unmodified, and with a Python that they say they work with.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

_BUILD = Path(__file__).parents[2] / "build" / "python-clients"
_WITHIN_SECONDS = 300
_NEWER = ("python3.12", "python3.13", "python3.14")


def client_python(requirement: str) -> Path:
    """Return the Python of an environment in which `requirement` is installed, and nothing else.

    Shape: one of Python 3.12 or newer where this machine has one; else the one of the tests, which
    is older than some clients ask for and does for those that need nothing new of it.
    """
    python = _newer_python() or sys.executable
    folder = _BUILD / f"{requirement}-{Path(python).resolve().name}"
    folder.mkdir(parents=True, exist_ok=True)
    inside = folder / "environment" / "bin" / "python"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            _run(python, "-m", "venv", "--clear", "--without-pip", str(folder / "environment"))
            _run(sys.executable, "-m", "pip", "--python", str(inside), "install", "--quiet",
                 "--ignore-requires-python", requirement)  # fmt: skip
            (folder / "installed").touch()
    return inside


def run_client(
    requirement: str, script: Path, *arguments: str, environment: Mapping[str, str]
) -> str:
    """Run a script beside an installed client; return what it printed.

    Shape: of this process's environment it sees the path alone.
    """
    ran = subprocess.run(
        [str(client_python(requirement)), str(script), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=_WITHIN_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@cache
def _newer_python() -> str | None:
    return next((each for each in _candidates() if _works(each)), None)


def _candidates() -> Iterator[str]:
    for name in _NEWER:
        found = shutil.which(name)
        if found is not None:
            yield found
        beside = Path(sys.base_prefix).parent  # where pyenv and the like keep one beside another
        yield from (str(each) for each in sorted(beside.glob(f"*/bin/{name}")))


def _works(python: str) -> bool:
    asked = subprocess.run([python, "-c", "import venv"], check=False, capture_output=True)
    return asked.returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_WITHIN_SECONDS)
