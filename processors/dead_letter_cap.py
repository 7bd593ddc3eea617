"""The cap on dead letters: a worker that understands too little stops, instead of going on."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from runfold.schemas.codec.columns import Rejected
from runfold.schemas.errors import TooManyDeadLetters


@dataclass(slots=True)
class DeadLetterCap:
    """Watches which share of the recent records of one worker could not become events.

    Shape: recent are the last `window` records; with fewer than `at_least` nothing is said.
    A `share` of 1 is never crossed. The share is looked at after each rejected record, since it
    rises there alone, and after each batch.
    """

    share: float = 0.5
    window: int = 10_000
    at_least: int = 1_000
    _seen: int = 0
    _recent: deque[tuple[int, Rejected]] = field(default_factory=deque)
    """The rejected among the recent records, each with its number among all that were seen."""

    def watch(self, records: int, rejected: Sequence[Rejected], place: str) -> None:
        """Count a batch of so many records, before anything else is done with it.

        Shape: `rejected` by row, ascending; `place` says where in the log the batch begins.
        Raises: TooManyDeadLetters (halt), and the batch must not be taken.
        """
        before = self._seen
        for each in rejected:
            self._seen = before + each.row + 1
            self._recent.append((self._seen, each))
            self._check(place)
        self._seen = before + records
        self._check(place)

    def _check(self, place: str) -> None:
        while self._recent and self._recent[0][0] <= self._seen - self.window:
            self._recent.popleft()
        recent = min(self._seen, self.window)
        if recent >= self.at_least and len(self._recent) > self.share * recent:
            raise TooManyDeadLetters(self._says(recent, place))

    def _says(self, recent: int, place: str) -> str:
        reasons = Counter(str(each.reason) for _, each in self._recent)
        [(reason, count)] = reasons.most_common(1)
        message = next(each.message for _, each in self._recent if str(each.reason) == reason)
        return (
            f"{len(self._recent):,} of the last {recent:,} records could not become events, "
            f"more than the {self.share:.0%} that the dead-letter cap allows. "
            f"Most often ({count:,} times) {reason}: {message}. "
            f"The worker stands at {place}; nothing from there on was passed over. "
            "Upgrade runfold where it should understand them. Else mend what writes them and start "
            "the worker with --dead-letter-cap 1 (RUNFOLD_DEAD_LETTER_CAP=1): they become dead "
            "letters, which `runfold dlq fix` repairs."
        )
