"""The hooks' page and what each hook asks for."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agents.tracing import set_trace_processors

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n\n```python\n(.*?)^```", PAGE, flags=re.M | re.S))
RECORDED = {"logging": 3, "OpenTelemetry": 3, "LangChain": 4, "OpenAI Agents SDK": 4}


@pytest.mark.parametrize("name", RECORDED)
def test_an_example_of_the_page_runs_and_records(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNFOLD_JOURNAL", str(tmp_path))
    monkeypatch.setenv("RUNFOLD_BROKER", "127.0.0.1:1")
    handlers = list(logging.root.handlers)
    names: dict[str, Any] = {}
    exec(EXAMPLES[name], names)
    logging.root.handlers = handlers
    set_trace_processors([])
    assert names["client"].counts.recorded == RECORDED[name]
    assert names["client"].counts.failed == 0
    names["client"].close(timeout=0)


def test_every_example_of_the_page_is_run() -> None:
    assert set(EXAMPLES) == set(RECORDED)
    assert PAGE.count("```python") == len(RECORDED)


@pytest.mark.parametrize(
    ("module", "library", "package"),
    [
        ("opentelemetry", "opentelemetry.sdk", "opentelemetry-sdk"),
        ("langchain", "langchain_core", "langchain-core"),
        ("openai_agents", "agents", "openai-agents"),
    ],
)
def test_a_library_that_is_missing_is_named(module: str, library: str, package: str) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None; import runfold.producers.hooks.{module}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"ImportError: runfold.producers.hooks.{module} needs" in done.stderr
    assert f"pip install {package}" in done.stderr


def test_the_client_imports_no_library_that_it_hooks_into() -> None:
    program = (
        "import sys, runfold.producers, runfold.producers.hooks.logs\n"
        "import runfold.producers.compat.automagik\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert not {"opentelemetry", "langchain_core", "agents", "openai"} & set(output.split())
