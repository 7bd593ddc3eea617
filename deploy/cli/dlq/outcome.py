"""What became of dead letters that were to be sent again, counted and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from runfold.deploy.cli.figures import print_figures
from runfold.deploy.cli.terminal import ERR, OUT, Format
from runfold.processors.letter_plans import Plan
from runfold.schemas.codec.partial import Readable

_SHOWN_LETTERS = 200
_SHOWN_LETTERS_AS_JSON = 10_000
_SHOWN_CHARACTERS = 400


class Outcome:
    """Counts plans. `resolved` letters were passed over, since they had been sent before."""

    def __init__(self, resolved: int) -> None:
        self.resolved = resolved
        self.events = 0
        self.left_alone = 0
        self.refused = 0
        self._noted: list[Plan] = []

    def add(self, plans: Sequence[Plan], *, note_all: bool = False) -> None:
        """Count `plans`; keep those that are refused, or all, to show them."""
        for plan in plans:
            self.events += plan.event is not None
            self.refused += plan.refused is not None
            self.left_alone += plan.event is None and plan.refused is None
            noted = note_all or plan.refused is not None
            if noted and len(self._noted) < _SHOWN_LETTERS_AS_JSON:
                self._noted.append(plan)

    def __str__(self) -> str:
        return f"{self.events:,} to send, {self.refused:,} refused, {self.left_alone:,} left alone"

    def show_changes(self) -> None:
        """Show for each letter what it is and what it would become."""
        for plan in self._noted[:_SHOWN_LETTERS]:
            place = plan.letter.place
            OUT.print(f"[bold]{place.partition}/{place.offset}[/]  {plan.letter.reason}")
            OUT.print(f"  before  {_before(plan.before)}", markup=False)
            if plan.event is not None:
                OUT.print(f"  after   {_line(plan.event)}", markup=False)
            else:
                OUT.print(f"  refused {plan.refused}" if plan.refused else "  left alone",
                          markup=False)  # fmt: skip
        self._say_hidden()

    def show_refusals(self) -> None:
        """Say on stderr which letters stay what they are, and why."""
        for plan in self._noted[:_SHOWN_LETTERS]:
            place = plan.letter.place
            ERR.print(f"{place.partition}/{place.offset}: not sent, {plan.refused}", markup=False)
        self._say_hidden()

    def _say_hidden(self) -> None:
        if len(self._noted) > _SHOWN_LETTERS:
            ERR.print(f"… and {len(self._noted) - _SHOWN_LETTERS:,} more; --format json has them")

    def print(self, output: Format, *, sent: str) -> None:
        """Print the counts; `sent` says what became of the events."""
        figures = {
            sent: self.events,
            "refused": self.refused,
            "left_alone": self.left_alone,
            "resolved_before": self.resolved,
            "letters": [_as_json(plan) for plan in self._noted],
        }
        print_figures(figures, output, title="dead letters")


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "key": plan.letter.place.key,
        "reason": plan.letter.reason,
        "before": plan.before.event,
        "unreadable_from": plan.before.ends_at,
        "after": plan.event,
        "refused": plan.refused,
    }


def _before(readable: Readable) -> str:
    if readable.event is None:
        return "nothing readable"
    end = "" if readable.ends_at is None else f" and nothing from {readable.ends_at} on"
    return _line(readable.event) + end


def _line(content: Any) -> str:
    text = orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} …"
