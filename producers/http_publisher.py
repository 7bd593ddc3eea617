"""A publisher that posts to a collector, which puts the events into Kafka."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

import orjson

from runfold.producers.client_settings import without_login
from runfold.producers.http_exchange import Answer, post
from runfold.producers.publisher import EventFields, Refused, is_url, within_limit
from runfold.schemas.errors import BrokerUnavailable, CollectorBusy, EventRejected
from runfold.schemas.vocabulary import DeadLetterReason

EVENTS_PATH = "/api/v1/events"
_BATCH_BYTES = 1024 * 1024
_BATCH_EVENTS = 5000
_BUSY = (429, 503)
_BODY_REFUSED = (400, 413, 422)
_LONGEST_WAIT = timedelta(minutes=5)
_HEADERS = {
    "Content-Type": "application/x-ndjson",
    "Content-Encoding": "gzip",
    "Accept": "application/json",
    "User-Agent": "runfold",
}


class _Line(NamedTuple):
    event_id: str
    text: bytes


class HttpPublisher:
    """Posts events as lines of the journal, gzipped, to `<url>/api/v1/events`.

    Shape: the answer is `{"accepted": 3, "rejected": [{"index", "reason", "message"}]}`, where
    `index` counts the lines of the request from 0.
    Delivery: at least once. A request that is refused as a whole (400, 413, 422) is halved until
    the event is found that is to blame; 429 and 503 are retried when Retry-After says, every other
    answer later. Redirects are not followed.
    """

    def __init__(self, url: str, *, patience: timedelta = timedelta(seconds=30)) -> None:
        self._address = url.rstrip("/") + EVENTS_PATH
        self._shown = f"the collector at {without_login(url)}"
        self._url = SplitResult("", "", "", "", "")
        self._patience = patience
        self._lines: list[_Line] = []
        self._size_bytes = 0
        self._refused: dict[str, EventRejected] = {}

    async def __aenter__(self) -> Self:
        """Look at the address. Raises: BrokerUnavailable (retry) where it is none."""
        try:
            self._url = urlsplit(self._address)
            known = is_url(self._address) and bool(self._url.hostname)
            _ = self._url.port
        except ValueError:
            known = False
        if not known:
            raise BrokerUnavailable(f"no URL of a collector: {self._shown}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.flush()

    async def publish(self, event: EventFields) -> None:
        """Hand over one event; see `Publisher`."""
        fields: dict[str, Any] = {**event}
        event_id = fields.get("event_id")
        if not isinstance(event_id, str):
            raise EventRejected(DeadLetterReason.MISSING_ID, "the event has no id")
        if "attributes" in fields:
            fields["attributes"] = orjson.Fragment(fields["attributes"])
        line = within_limit(orjson.dumps(fields))
        self._lines.append(_Line(event_id, line))
        self._size_bytes += len(line)
        if self._size_bytes >= _BATCH_BYTES or len(self._lines) >= _BATCH_EVENTS:
            await self._post_waiting()

    async def flush(self) -> Refused:
        """Return when all is acknowledged or refused; see `Publisher`."""
        await self._post_waiting()
        refused, self._refused = self._refused, {}
        return refused

    async def _post_waiting(self) -> None:
        lines, self._lines, self._size_bytes = self._lines, [], 0
        if lines:
            await self._post(lines)

    async def _post(self, lines: Sequence[_Line]) -> None:
        answer = await self._exchange(b"\n".join(each.text for each in lines) + b"\n")
        if answer.status in (200, 202):
            self._take(lines, answer)
        elif answer.status in _BUSY:
            raise CollectorBusy(f"{self._shown} is busy", _retry_after(answer))
        elif answer.status not in _BODY_REFUSED:
            raise BrokerUnavailable(f"{self._shown} answers {answer.status}{_said(answer)}")
        elif len(lines) > 1:
            half = len(lines) // 2
            await self._post(lines[:half])
            await self._post(lines[half:])
        else:
            large = answer.status == 413
            reason = DeadLetterReason.TOO_LARGE if large else DeadLetterReason.BAD_BODY
            said = f"{self._shown} refuses it with {answer.status}{_said(answer)}"
            self._refused[lines[0].event_id] = EventRejected(reason, said)

    async def _exchange(self, body: bytes) -> Answer:
        packed = gzip.compress(body, compresslevel=1, mtime=0)
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                return await post(self._url, packed, _HEADERS)
        except (OSError, EOFError, ValueError, ssl.SSLError, asyncio.LimitOverrunError) as error:
            words = str(error) or type(error).__name__
            raise BrokerUnavailable(f"{self._shown}: {words}") from error

    def _take(self, lines: Sequence[_Line], answer: Answer) -> None:
        """Believe an answer only where it accounts for every line: anything may say 200."""
        try:
            said = orjson.loads(answer.body)
            rejected = {
                lines[each["index"]].event_id: EventRejected(
                    str(each["reason"]), str(each["message"])
                )
                for each in said["rejected"]
                if each["index"] >= 0
            }
            known = said["accepted"] + len(rejected)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            message = f"{self._shown} does not answer as a collector does{_said(answer)}"
            raise BrokerUnavailable(message) from error
        if known != len(lines):
            raise BrokerUnavailable(f"{self._shown} accounts for {known} of {len(lines)} events")
        self._refused |= rejected


def _said(answer: Answer) -> str:
    return f": {answer.body[:200].decode('utf-8', 'replace')}" if answer.body else ""


def _retry_after(answer: Answer) -> timedelta:
    """Return how long to wait, at most five minutes; Retry-After has seconds or a date."""
    text = answer.headers.get("retry-after", "")
    try:
        wait = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        wait = _until(text, answer.headers.get("date", ""))
    return min(max(wait, timedelta()), _LONGEST_WAIT)


def _until(text: str, now: str) -> timedelta:
    try:
        return parsedate_to_datetime(text) - parsedate_to_datetime(now)
    except (ValueError, TypeError):
        return timedelta()
