"""`python -m runfold.deploy.grafana.build`: write the dashboards and alerts that the code says."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana import fleet, run_explorer

FOLDER = Path(__file__).parent
_BOARDS = (fleet, run_explorer)


def files() -> dict[Path, str]:
    """Return what every built file has to hold."""
    return {
        FOLDER / "dashboards" / f"{each.BOARD.file}.json": _json(each.build()) for each in _BOARDS
    }


def write() -> None:
    """Write the files, and remove dashboards that are no more."""
    made = files()
    for old in (FOLDER / "dashboards").glob("*.json"):
        if old not in made:
            old.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _json(board: Dashboard) -> str:
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write()
