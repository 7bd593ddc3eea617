"""The DuckDB cookbook: its questions with their answers from the demo fleet.

`python -m tests.cookbook` writes the answers into docs/cookbook.md anew.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runfold.producers.demo import generate_fleet
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.sinks.query import LakeQueries, open_lake
from tests.lakes_of_events import LakeOfEvents

PAGE = Path(__file__).parents[1] / "docs" / "cookbook.md"
SEED = 1
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_RECIPE = re.compile(
    r"(## (?P<title>[^\n]+)\n\n```sql\n(?P<sql>.*?)```\n)(?P<answer>\n\|.*?)?(?=\n## |\Z)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A question of the page, and the answer that stands below it."""

    title: str
    sql: str
    answer: str


def recipes() -> list[Recipe]:
    """Return the page's questions."""
    return [
        Recipe(found["title"], found["sql"], (found["answer"] or "").strip())
        for found in _RECIPE.finditer(PAGE.read_text("utf-8"))
    ]


@contextmanager
def demo_lake(folder: Path) -> Iterator[LakeQueries]:
    """Make a lake in `folder` of what `runfold demo` publishes; give it for questions."""
    encode = SparseEncoder(latest("event"))
    records = [
        (each.bad.key or b"", each.bad.value or b"")
        if each.bad is not None
        else (str((each.event or {})["run_id"]).encode(), encode(each.event or {}))
        for each in generate_fleet(SEED, NOW)
    ]
    LakeOfEvents(folder).put_records(records, recorded_at_us=int(NOW.timestamp() * 1e6))
    with open_lake(folder) as lake:
        yield lake


def answer(lake: LakeQueries, sql: str) -> str:
    """Return what a question gives, as a table of Markdown."""
    rows, columns = lake.rows_and_columns(sql)
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row[name]) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value).replace("|", "\\|")


def main() -> None:
    """Write the page's answers anew."""
    with tempfile.TemporaryDirectory() as name, demo_lake(Path(name)) as lake:

        def answered(found: re.Match[str]) -> str:
            return f"{found[1]}\n{answer(lake, found['sql'])}\n"

        PAGE.write_text(_RECIPE.sub(answered, PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
