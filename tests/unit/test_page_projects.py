"""The page tells whoever has a project's key of that project's runs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runfold.deploy.page.questions import fleet, one_run
from runfold.sinks.query import open_lake
from tests.lakes_of_events import LakeOfEvents, event


@pytest.fixture
def root(tmp_path: Path) -> Path:
    LakeOfEvents(tmp_path).put(
        event("parent", "run.started", project="ours"),
        event("child", "run.started", project="ours", parent_run_id="parent"),
        event("other child", "run.started", project="theirs", parent_run_id="parent"),
        event("plain child", "run.started", parent_run_id="parent"),
    )
    return tmp_path


@pytest.mark.parametrize(
    ("project", "seen"),
    [(None, {"child", "other child", "plain child"}), ("ours", {"child"})],
)
def test_sub_runs_of_another_project_are_not_told_of(
    root: Path, project: str | None, seen: set[str]
) -> None:
    with open_lake(root) as lake:
        found: Any = one_run(lake, "parent", project)
        runs = fleet(lake, {"project": "theirs"}, project)["runs"]
    assert {each["run_id"] for each in found["children"]} == seen
    expected = {"parent", "child"} if project else {"other child"}
    assert {each["run_id"] for each in runs} == expected


def test_a_run_of_another_project_is_not_there(root: Path) -> None:
    with open_lake(root) as lake:
        assert one_run(lake, "other child", "ours") is None
        assert one_run(lake, "plain child", "ours") is None
