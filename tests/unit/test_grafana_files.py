"""Grafana's files: what the code builds, complete, and leading to where there is something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runfold.deploy.grafana.build import files
from tests.dashboards import FOLDER, boards

ROOT = Path(__file__).parents[2]
BOARDS = boards()
PANELS = [
    pytest.param(board, panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def texts(value: Any) -> list[str]:
    """Return all texts within a piece of JSON."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def test_the_files_are_what_the_code_builds() -> None:
    made = files()
    assert {path.stem for path in made if path.suffix == ".json"} == set(BOARDS)
    for path, text in made.items():
        assert path.read_text("utf-8") == text, f"{path.name}: run make dashboards"


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_says_what_it_shows(board: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] == "runfold"
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    known = {each["name"] for each in board["templating"].get("list", ())}
    [target] = panel["targets"]
    assert set(re.findall(r"\$\{(\w+)", target["rawSql"])) <= known


def test_no_colour_is_for_one_theme_alone() -> None:
    assert [text for text in texts(BOARDS) if re.match(r"#|rgb", text)] == []


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_dashboard_is_complete(board: dict[str, Any]) -> None:
    assert board["refresh"]
    assert board["description"]
    numbers = [each["id"] for each in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in board["panels"]]
    assert len(set(places)) == len(places)


def test_links_lead_to_dashboards_and_their_variables() -> None:
    by_uid = {board["uid"]: board for board in BOARDS.values()}
    assert len(by_uid) == len(BOARDS)
    links = [text for text in texts(BOARDS) if text.startswith("/d/")]
    assert len(links) > 10
    for link in links:
        uid, query = link.removeprefix("/d/").split("?")
        known = {each["name"] for each in by_uid[uid]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", query)) <= known
        assert set(re.findall(r"\$\{(\w+)", query)) == {"__value", "__url_time_range"}


def test_alerts_lead_to_dashboards_and_have_no_dollar_signs() -> None:
    text = (FOLDER / "provisioning" / "alerting" / "runfold.yaml").read_text("utf-8")
    assert "$" not in text
    [group] = yaml.safe_load(text)["groups"]
    uids = {board["uid"] for board in BOARDS.values()}
    for rule in group["rules"]:
        assert rule["annotations"]["__dashboardUid__"] in uids
        assert rule["condition"] in {each["refId"] for each in rule["data"]}


def test_compose_sets_what_the_data_source_takes_from_the_environment() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
    given = set(compose["services"]["grafana"]["environment"])
    taken = set()
    for path in (FOLDER / "provisioning").rglob("*.yaml"):
        taken |= set(re.findall(r"\$(\w+)", path.read_text("utf-8")))
    assert taken == {name for name in given if name.startswith("RUNFOLD_")}
