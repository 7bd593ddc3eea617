"""Clients for Node: packages of npm, installed once into a folder of the build."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

_BUILD = Path(__file__).parents[2] / "build" / "node"
_WITHIN_SECONDS = 300

needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no Node here")


def node_folder(name: str, packages: Mapping[str, str]) -> Path:
    """Return a folder in which these packages, by name and version, are installed.

    Shape: `name` tells folders apart; it is made once, also where several processes want it.
    """
    folder = _BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.dumps({"private": True, "dependencies": dict(packages)}, indent=1)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists() or done.read_text("utf-8") != wanted:
            (folder / "package.json").write_text(wanted, "utf-8")
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(command, cwd=folder, check=True, timeout=_WITHIN_SECONDS)
            done.write_text(wanted, "utf-8")
    return folder


def run_node(folder: Path, script: Path, *arguments: str) -> str:
    """Run a script with the packages of `folder`; return what it printed."""
    copy = folder / script.name  # modules are looked for beside the script
    copy.write_bytes(script.read_bytes())
    ran = subprocess.run(
        ["node", str(copy), *arguments],
        cwd=folder,
        check=False,  # what it says is shown
        capture_output=True,
        text=True,
        timeout=_WITHIN_SECONDS,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
