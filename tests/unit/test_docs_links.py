"""Every link of the documentation that leads into the repository leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGES = sorted(
    path.relative_to(_ROOT) for path in (*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md"))
)
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", each.lower()) for each in _HEADING.findall(text))
    return {each.strip().replace(" ", "-") for each in words}


def _broken(page: Path) -> list[str]:
    broken = []
    for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        name, _, anchor = link.partition("#")
        to = page.parent / name if name else page
        if not to.exists() or (anchor and anchor not in _anchors(to)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", [str(each) for each in _PAGES])
def test_every_link_leads_somewhere(page: str) -> None:
    assert _broken(_ROOT / page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Here\n[a](#here) [b](#there) [c](none.md) [d](https://example.org) `[e](f)`")
    assert _broken(page) == ["#there", "none.md"]


def test_the_index_names_every_page() -> None:
    folder = _ROOT / "docs"
    index = (folder / "README.md").read_text("utf-8")
    missing = [each.name for each in folder.glob("*.md") if f"({each.name}" not in index]
    assert missing == ["README.md"]
