"""What journals still hold, without taking them over: for who asks where an event is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from runfold.producers.declarations import Declarations, ids_in
from runfold.producers.journal_folder import REJECTED, journals_below
from runfold.producers.journal_reader import JournalReader
from runfold.producers.overflow import DroppedIds
from runfold.producers.rejected import rejected_line
from runfold.schemas.event_ids import EventIdSet

Chosen = Callable[[Iterable[str | None]], set[str]]
"""Returns those of some run ids that are meant."""

_RUN_IDS = re.compile(rb'"run_id":"([^"\\]*)"').finditer


@dataclass(slots=True)
class JournalContents:
    """What waits in journals to be shipped.

    Shape: `waiting` has the ids by run; `drops` are the `events.dropped` events still to be sent,
    as lines of the journal's format.
    """

    waiting: DroppedIds = field(default_factory=dict)
    drops: list[bytes] = field(default_factory=list)


def journal_contents(journal_dir: Path) -> JournalContents:
    """Read every journal below `journal_dir`, also those of living processes; changes nothing.

    A journal that is shipped while it is read may be seen in part: the rest is in the log then.
    """
    contents = JournalContents()
    for folder in journals_below(journal_dir):
        contents.drops += Declarations(folder).pending()
        _read(folder, contents)
    return contents


def _read(folder: Path, contents: JournalContents) -> None:
    reader = JournalReader(folder, live=True)
    try:
        while (chunk := reader.read()) is not None:
            reader.position = chunk.end
            for run_id, ids in ids_in(chunk.lines)[0].items():
                _add(contents.waiting.setdefault(run_id, EventIdSet()), ids)
    except FileNotFoundError:  # a segment that was shipped just now
        pass
    finally:
        reader.close()


def _add(known: EventIdSet, more: EventIdSet) -> None:
    for producer in more.ranges:
        for piece in more.ranges_of(producer):
            if not known.extend(producer, piece.first, piece.last):
                for sequence in range(piece.first, piece.next_offset):
                    known.add_sequence(producer, sequence)
    known.hashes |= more.hashes


def journal_mentions(journal_dir: Path, text: str | None, chosen: Chosen) -> list[str]:
    """Return which files below `journal_dir` have events of some runs, or a text in them.

    Shape: lines that are in the log already count as well, for they are on the disk until their
    segment goes.
    """
    found = []
    for path in sorted(journal_dir.glob("**/*.ndjson")):
        try:
            lines = path.read_bytes().splitlines()
        except OSError:  # it was shipped just now
            continue
        if path.name == REJECTED:
            lines = [rejected_line(each) for each in lines]
        if mentions := sum(mentioning(lines, text, chosen)):
            found.append(f"{path}: {mentions} lines")
    return found


def mentioning(lines: list[bytes], text: str | None, chosen: Chosen) -> list[bool]:
    """Tell of each line of a journal whether it says a text or is of a run that is meant."""
    needle = None if text is None else orjson.dumps(text)
    run_ids = [{match[1].decode("utf-8", "replace") for match in _RUN_IDS(line)} for line in lines]
    meant = chosen(each for of_line in run_ids for each in of_line)
    return [
        (needle is not None and needle in line) or not meant.isdisjoint(of_line)
        for line, of_line in zip(lines, run_ids, strict=True)
    ]
