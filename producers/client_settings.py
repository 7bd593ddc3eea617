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


def given_address(*candidates: object) -> str | None:
    """Return the first of what was given as an address, None where nothing was."""
    for each in candidates:
        if type(each) is str and each:
            return each
        if each is not None:
            explain(f"{type(each).__name__} is no address and ignored")
    return None


def without_login(address: str | None) -> str | None:
    """Return an address as it may be written down: without what a URL says of user and password."""
    if address is None or "@" not in address:
        return address
    scheme, separator, rest = address.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def find_address(given: str | None) -> str:
    """Return where events go, a Kafka's HOST:PORT or a collector's URL.

    Shape: what was given, RUNFOLD_ENDPOINT, RUNFOLD_BROKER, the running stack's, or the default.
    """
    return (
        given
        or find_endpoint()
        or os.environ.get("RUNFOLD_BROKER")
        or (_running_stack() or DEFAULT_BROKER)
    )


def find_endpoint() -> str | None:
    """Return the URL of the collector, RUNFOLD_ENDPOINT, where there is one."""
    return os.environ.get("RUNFOLD_ENDPOINT") or None


def find_schema_registry() -> str | None:
    """Return the URL of the schema registry, RUNFOLD_SCHEMA_REGISTRY, where there is one."""
    return os.environ.get("RUNFOLD_SCHEMA_REGISTRY") or None


def find_journal_dir(given: Path | str | None) -> Path:
    """Return the folder of journals: the one given, RUNFOLD_JOURNAL, or `journal` in data_dir."""
    try:
        chosen = given or os.environ.get("RUNFOLD_JOURNAL")
        folder = Path(chosen).expanduser().absolute() if chosen else data_dir() / "journal"
        if "\0" in str(folder):
            raise ValueError("a path holds no NUL")
        return folder
    except Exception as error:  # noqa: BLE001  what is given may be any object
        explain("the journal cannot be where it was asked for", error)
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
