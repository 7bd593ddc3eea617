"""The lines that the replaced client printed; people look for them in their agents' output."""

from __future__ import annotations

from contextlib import suppress


def say(line: str) -> None:
    """Print one line to stdout. Never raises."""
    with suppress(Exception):  # stdout may be closed, or unable to encode the line
        print(line)  # noqa: T201  the contract: these lines go to the agent's own output
