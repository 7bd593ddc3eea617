"""Moving one journal into the log: read, publish, wait for the acknowledgement, remember."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from runfold.producers.debug import explain
from runfold.producers.declarations import Declarations, ids_in
from runfold.producers.journal_folder import Position, segment_path, segment_sizes
from runfold.producers.journal_reader import JournalReader
from runfold.producers.publisher import Publisher, Refused
from runfold.producers.rejected import keep_rejected
from runfold.schemas.errors import EventRejected
from runfold.schemas.vocabulary import DeadLetterReason

_SLICE = 4
_PAUSE_SECONDS = 0.0001


@dataclass(slots=True)
class ShippedCounts:
    """What became of the lines of a journal; `dropped` ones are declared in the
    log. `errors` counts defects that the shipper survived."""

    shipped: int = 0
    rejected: int = 0
    dropped: int = 0
    torn: int = 0
    errors: int = 0


def parse_line(line: bytes) -> dict[str, Any]:
    """Return the event of a journal line as a publisher takes it. Raises: EventRejected."""
    try:
        event: dict[str, Any] = orjson.loads(line)
        attributes = event.get("attributes")
    except (ValueError, AttributeError) as error:
        raise EventRejected(DeadLetterReason.BAD_BODY, f"not a journal line: {error}") from error
    if attributes is not None:
        event["attributes"] = orjson.dumps(attributes).decode()
    return event


class JournalShipping:
    """Ships the journal in one folder. Used from one event loop, by one process at a time.

    `agent_is_busy` tells whether the agent is recording just now: shipping then stands back
    between slices, since every microsecond in which it holds the interpreter's lock is one in
    which the agent waits.
    """

    def __init__(
        self,
        folder: Path,
        counts: ShippedCounts,
        *,
        live: bool,
        agent_is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder = folder
        self.counts = counts
        self.reader = JournalReader(folder, live=live)
        self.declarations = Declarations(folder)
        self._agent_is_busy = agent_is_busy

    async def ship_some(self, publisher: Publisher) -> int:
        """Ship what can be read at once; return how many lines that was, 0 where all is shipped.

        Delivery: at least once; the position moves when the log has acknowledged.
        Raises: BrokerUnavailable (retry), OSError where the journal cannot be read.
        """
        declared = await self._ship_declarations(publisher)
        chunk = self.reader.read()
        while chunk is not None and not chunk.lines:  # a segment that is used up
            self.counts.torn += chunk.torn
            self.reader.advance(chunk.end)
            chunk = self.reader.read()
        if chunk is None:
            return declared
        await self.ship_lines(chunk.lines, publisher)
        if chunk.end > self.reader.position:  # else the segment was dropped meanwhile
            self.reader.advance(chunk.end)
        return declared + len(chunk.lines)

    async def ship_lines(self, lines: list[bytes], publisher: Publisher) -> None:
        """Publish `lines` and wait until the log has them; see `ship_some`."""
        rejected: list[tuple[bytes, EventRejected]] = []
        for at, line in enumerate(lines):
            if at % _SLICE == 0 and at and self._agent_is_busy():
                time.sleep(_PAUSE_SECONDS)  # the loop's own sleep is a millisecond at least
            try:
                await publisher.publish(parse_line(line))
            except EventRejected as error:
                rejected.append((line, error))
        refused = await publisher.flush()
        rejected += _lines_refused(lines, refused) if refused else []
        self.counts.shipped += len(lines) - len(rejected)
        if rejected:
            self._give_up(rejected)

    def drop_oldest(self, limit_bytes: int) -> None:
        """Drop the oldest segments, declared, until the journal is at most `limit_bytes`.

        The last segment always stays. Raises: OSError.
        """
        segments = list(segment_sizes(self.folder))
        size = sum(each for _, each in segments)
        for number, segment_bytes in segments[:-1]:
            if size <= limit_bytes:
                return
            self._drop_segment(number)
            size -= segment_bytes

    def _drop_segment(self, number: int) -> None:
        if number >= self.reader.position.segment:
            content = segment_path(self.folder, number).read_bytes()
            begin = self.reader.position.offset if number == self.reader.position.segment else 0
            ids, unreadable = ids_in(content[begin:].splitlines())
            self.declarations.declare(ids, reason="journal_full")
            self.counts.dropped += sum(len(each) for each in ids.values()) + unreadable
            explain(f"the journal is full: segment {number} is dropped")
        self.reader.advance(Position(number + 1, 0))

    def _give_up(self, rejected: list[tuple[bytes, EventRejected]]) -> None:
        for line, error in rejected:
            keep_rejected(self.folder.parent, line, reason=error.reason, message=error.message)
        ids, _ = ids_in([line for line, _ in rejected])
        self.counts.rejected += len(rejected)
        self.declarations.declare(ids, reason="rejected")

    async def _ship_declarations(self, publisher: Publisher) -> int:
        pending = self.declarations.pending()
        for line in pending:
            try:
                await publisher.publish(parse_line(line))
            except EventRejected as error:  # a line torn by a full disk
                explain("a declaration cannot be read", error)
        if pending:
            await publisher.flush()
            self.declarations.forget(len(pending))
        return len(pending)


def _lines_refused(lines: list[bytes], refused: Refused) -> Iterator[tuple[bytes, EventRejected]]:
    for line in lines:
        try:
            error = refused.get(orjson.loads(line)["event_id"])
        except (ValueError, TypeError, KeyError):
            continue  # was rejected when it was read
        if error is not None:
            yield line, error
