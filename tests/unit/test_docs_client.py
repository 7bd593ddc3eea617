"""The examples of docs/client.md and README.md do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runfold import producers
from tests.recording import Recording

_ROOT = Path(__file__).parents[2]


def _examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (_ROOT / page).read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/client.md"])
def test_the_first_example_records_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Recording(tmp_path / "journal", agent="nightly-crawl", project="docs")
    monkeypatch.setattr(producers, "Client", lambda **_: one.client)
    exec(_examples(page)[0], {})
    outer, sub = one.events("run.started")
    assert sub["parent_run_id"] == outer["run_id"]
    assert {"tool.started", "tool.ended", "llm.called", "decision.made"} <= set(one.types())
    assert one.client.counts.failed == 0
    one.client.close()


def test_the_decorators_examples_are_python() -> None:
    for example in _examples("docs/client.md"):
        compile(example, "docs/client.md", "exec")
