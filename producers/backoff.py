"""How long to wait before trying again."""

from __future__ import annotations

from random import Random


class Backoff:
    """Waits that double up to a cap, each shortened at random so that clients spread out.

    Units: seconds.
    """

    def __init__(self, *, first_seconds: float = 0.2, cap_seconds: float = 15.0) -> None:
        self._first = first_seconds
        self._cap = cap_seconds
        self._next = first_seconds
        self._random = Random()

    def next_seconds(self) -> float:
        """Return the next wait: between half of the doubled one and all of it."""
        wait, self._next = self._next, min(self._next * 2, self._cap)
        return wait * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._next = self._first
