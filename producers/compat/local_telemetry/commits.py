"""What may be said of the commit that a run made."""

from __future__ import annotations

import re
from typing import Any

COMMIT_SOURCES = ("manual", "llm", "ci")
_HASH = re.compile(r"[0-9a-fA-F]{7,40}")


def refusal_of_commit(commit_hash: Any, commit_source: Any) -> str | None:
    """Return the message that refuses a commit, None where nothing is wrong with it."""
    if commit_source not in COMMIT_SOURCES:
        wanted = ", ".join(COMMIT_SOURCES)
        return f"[FAIL] Invalid commit_source {commit_source!r}. Must be one of: {wanted}"
    if not isinstance(commit_hash, str) or not _HASH.fullmatch(commit_hash):
        wanted = "Expected 7-40 hex characters"
        return f"[FAIL] Invalid commit_hash format. {wanted}, got: {commit_hash}"
    return None
