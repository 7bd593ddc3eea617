"""What may import what, what is packaged, and how light the client is."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "schemas": {"schemas"},
    "producers": {"schemas", "producers"},
    "processors": {"schemas", "processors"},
    "sinks": {"schemas", "sinks"},
    "deploy": {"schemas", "producers", "processors", "sinks", "deploy"},
}


def modules_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported_folders(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "a relative import"
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            parts = name.split(".")
            if parts[0] == "runfold":
                yield parts[1] if len(parts) > 1 else "runfold itself"


def violations(path: Path, folder: str) -> set[str]:
    return set(imported_folders(path)) - MAY_IMPORT[folder]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_it_may(folder: str) -> None:
    modules = modules_of(folder)
    assert modules
    assert {str(path): found for path in modules if (found := violations(path, folder))} == {}


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("def f():\n    from runfold.sinks.lake import LocalLake\n    import runfold\n")
    assert violations(path, "processors") == {"sinks", "runfold itself"}


def test_every_package_is_in_the_distribution() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    found = {
        "runfold." + ".".join(path.parent.relative_to(ROOT).parts)
        for folder in MAY_IMPORT
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(packages) == found


def test_importing_the_client_brings_in_nothing_heavy() -> None:
    program = "import sys, runfold.producers; print('\\n'.join(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    loaded = {name.split(".")[0] for name in output.split()}
    heavy = {
        "asyncio",
        "faust",
        "duckdb",
        "polars",
        "pyarrow",
        "pandas",
        "aiokafka",
        "typer",
        "structlog",
    }
    assert loaded & heavy == set()


def test_no_file_of_ours_is_left_out_of_the_type_check() -> None:
    assert all((ROOT / folder / "__init__.py").exists() for folder in MAY_IMPORT)
