"""The words for a decision, of all generations of the Agent Framework's clients."""

from __future__ import annotations

_NOW_CALLED = {
    "APPROVED": "APPROVE",
    "ALLOW": "APPROVE",
    "ALLOWED": "APPROVE",
    "DENIED": "DENY",
    "DECLINE": "DENY",
    "DECLINED": "DENY",
    "BLOCK": "DENY",
    "BLOCKED": "DENY",
    "REJECT": "DENY",
    "REJECTED": "DENY",
    "CONFIRMED": "CONFIRM",
    "OK": "SUCCESS",
    "CONTINUED": "CONTINUE",
    "FAILED": "ERROR",
}
_DECISIONS = frozenset({"APPROVE", "CONTINUE", "DENY", "CONFIRM", "SUCCESS", "ERROR"})


def normal_decision(word: str) -> str:
    """Return the decision that `word` is an older name or a spelling of, or `word` itself."""
    upper = word.strip().upper()
    upper = _NOW_CALLED.get(upper, upper)
    return upper if upper in _DECISIONS else word
