"""What of an event may be written down: content only where it is allowed, and nothing secret."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from runfold.producers.careful_fields import LONGEST_BODY_BYTES
from runfold.producers.consent import CONTENT, is_yes
from runfold.producers.debug import explain
from runfold.producers.event_line import line_rest, shortened_rest
from runfold.producers.redaction import SECRET, Redactor, compile_patterns, names_a_secret
from runfold.producers.tame import ALTERED

_CONTENT_COLUMNS = ("decision_reason",)
_NAMES_OF_RUNS = ("parent_run_id",)
_MOST_MARKS = 50
_CONTENT_NAME = (
    r"(?:^|[_\-./ ])(?:arguments|args|kwargs|parameters|inputs?|outputs?|results?|prompts?|"
    r"completions?|messages?|contents?|text|body|query|question|answer|response|transcript|"
    r"thinking|reasoning|instructions|stdin|stdout|stderr|command|diff|(?:input|output)[._]value)$"
)


@dataclass(frozen=True, slots=True)
class Privacy:
    """What a client may write down.

    Shape: `content` is what people, models and tools say to each other: prompts, answers,
    transcripts, arguments, results and reasons. `redact` takes secrets, e-mail addresses and home
    folders out of everything, and what any of `patterns` (regular expressions) finds.
    Raises: ConfigurationError naming a pattern that is none.
    """

    content: bool = False
    redact: bool = True
    patterns: Sequence[str | re.Pattern[str]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", compile_patterns(self.patterns))


def effective_privacy(given: Privacy | None, *, published: bool) -> Privacy | None:
    """Return what holds for a client; None where everything may be written as it is.

    Shape: RUNFOLD_CONTENT, which is the user's, decides on content where it is set. Without it a
    published agent gives none, and it redacts in any case.
    """
    if given is not None and type(given) is not Privacy:
        explain(f"privacy is {type(given).__name__}, not Privacy: the strictest is taken")
        given = Privacy()
    said = os.environ.get(CONTENT)
    if published:
        patterns = () if given is None else given.patterns
        return Privacy(content=is_yes(said), patterns=patterns)
    if said is None:
        return given
    content, redact, patterns = is_yes(said), False, ()
    if given is not None:
        content, redact, patterns = content and given.content, given.redact, given.patterns
    return None if content and not redact else Privacy(content, redact, patterns)


def private_lines(given: Privacy | None, *, published: bool) -> PrivateLines | None:
    """Return what makes a client's lines, None where they may be written as they are."""
    privacy = effective_privacy(given, published=published)
    return None if privacy is None else PrivateLines(privacy)


class PrivateLines:
    """Makes the lines of events as `line_rest` does, without what is private.

    Shape: what was left out or changed is listed under `runfold.altered` with the reason `content`
    or `redacted`.
    """

    def __init__(self, privacy: Privacy) -> None:
        self._content = privacy.content
        own = tuple(each for each in privacy.patterns if isinstance(each, re.Pattern))
        self._redactor = Redactor(own) if privacy.redact else None

    def rest(self, event_type: str, given: dict[str, Any]) -> bytes:
        """Return the rest of a line; see `line_rest`."""
        fields = orjson.loads(b"{" + line_rest(event_type, given)[2:])
        marks = _Marks()
        attributes = fields.pop("attributes", {})
        known = attributes.pop(ALTERED, {})
        for name in list(fields):
            if name in _CONTENT_COLUMNS and not self._content:
                del fields[name]
                marks.add(name, "content")
            elif type(fields[name]) is str:
                clean = self.name if name in _NAMES_OF_RUNS else self._text
                fields[name] = marks.compared(name, fields[name], clean(fields[name]))
        attributes = self._mapping(attributes, "", marks)
        if known or marks.found:
            attributes[ALTERED] = {**self._mapping(known, "", _Marks()), **marks.found}
        if attributes:
            fields["attributes"] = attributes
        rest = b'",%b\n' % orjson.dumps(fields)[1:]
        return rest if len(rest) <= LONGEST_BODY_BYTES else shortened_rest(fields)

    def name(self, name: str) -> str:
        """Return a name of a run, an agent or an attribute; two that differ still do."""
        kept = self._text(name)
        if kept == name:
            return name
        return f"{kept}…{blake2b(name.encode(), digest_size=8).hexdigest()}"

    def _text(self, text: str) -> str:
        return text if self._redactor is None else self._redactor.text(text)

    def _value(self, value: Any, path: str, marks: _Marks) -> Any:
        kind = type(value)
        if kind is str:
            return marks.compared(path, value, self._text(value))
        if kind is dict:
            return self._mapping(value, path, marks)
        if kind is list:
            return [self._value(each, f"{path}[{at}]", marks) for at, each in enumerate(value)]
        return value

    def _mapping(self, value: dict[str, Any], path: str, marks: _Marks) -> dict[str, Any]:
        kept = {}
        for key, each in value.items():
            name = self.name(key)
            place = f"{path}.{name}" if path else name
            if not self._content and type(each) in (str, list, dict) and names_content(key):
                marks.add(place, "content")
            elif self._redactor is not None and each is not None and names_a_secret(key):
                kept[name] = SECRET
                marks.add(place, "redacted")
            else:
                kept[name] = self._value(each, place, marks)
        return kept


class _Marks:
    """What was changed in one event: a path and a reason, the first 50."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def add(self, path: str, reason: str) -> None:
        if len(self.found) < _MOST_MARKS:
            self.found[path[:200]] = reason

    def compared(self, path: str, before: str, after: str) -> str:
        """Return `after`, and remember that it is not what it was."""
        if after != before:
            self.add(path, "redacted")
        return after


@lru_cache(maxsize=4096)
def names_content(name: str) -> bool:
    """Say whether what stands under `name` is content."""
    return re.search(_CONTENT_NAME, name[-100:].lower()) is not None
