"""Where a client finds its broker and its journal.

The client is a library in someone else's process and has no entry point of its own, so these few
variables are read here, each time that they are needed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from runfold.producers.debug import explain

DEFAULT_BROKER = "127.0.0.1:9092"
STACK_FILE = "stack.json"
"""What a running stack writes of itself, in its data directory."""


def find_broker(given: str | None) -> str:
    """Return HOST:PORT: the one given, RUNFOLD_BROKER, the running stack's, or the default."""
    return given or os.environ.get("RUNFOLD_BROKER") or _running_stack() or DEFAULT_BROKER


def find_schema_registry() -> str | None:
    """Return the URL of the schema registry, RUNFOLD_SCHEMA_REGISTRY, where there is one."""
    return os.environ.get("RUNFOLD_SCHEMA_REGISTRY") or None


def find_journal_dir(given: Path | str | None) -> Path:
    """Return the folder of journals: the one given, RUNFOLD_JOURNAL, or `journal` in data_dir."""
    chosen = given or os.environ.get("RUNFOLD_JOURNAL")
    try:
        return Path(chosen).expanduser().absolute() if chosen else data_dir() / "journal"
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        explain(f"the journal cannot be in {chosen!r}", error)
        return data_dir() / "journal"


def data_dir() -> Path:
    """Return RUNFOLD_DATA_DIR, default `~/.runfold`; a temporary folder where there is no home."""
    chosen = Path(os.environ.get("RUNFOLD_DATA_DIR") or "~/.runfold")
    try:
        return chosen.expanduser().absolute()
    except (RuntimeError, OSError):
        return Path(os.environ.get("TMPDIR") or "/tmp") / f"runfold-{os.getuid()}"


def default_agent_name() -> str:
    """Return the name of the script that runs, `python` where there is none."""
    return Path(sys.argv[0]).stem.lstrip("-") if sys.argv and sys.argv[0] else "python"


def host_name() -> str | None:
    """Return this machine's name, None where it has none."""
    try:
        return socket.gethostname() or None
    except OSError:
        return None


def _running_stack() -> str | None:
    try:
        described = json.loads((data_dir() / STACK_FILE).read_text("utf-8"))
        return str(described["broker"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
