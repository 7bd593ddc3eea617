"""Every question of the cookbook is answered by the demo fleet as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cookbook import answer, demo_lake, recipes


def test_the_cookbook_s_answers_are_those_of_the_demo_fleet(tmp_path: Path) -> None:
    questions = recipes()
    assert len(questions) >= 20
    with demo_lake(tmp_path) as lake:
        for each in questions:
            found = answer(lake, each.sql)
            assert found == each.answer, each.title
            assert found.count("\n") >= 2, f"{each.title}: no rows"


def test_a_wrong_answer_is_seen(tmp_path: Path) -> None:
    with demo_lake(tmp_path) as lake, pytest.raises(AssertionError):
        assert answer(lake, "select count(*) + 1 as runs from runs") == answer(
            lake, "select count(*) as runs from runs"
        )
