"""Reading the addresses of remotes from a repository's `config` file.

Source: git-config(1), "Syntax". Included files are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SECTION = re.compile(r'\[\s*([\w.-]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]')
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}


def remote_addresses(text: str) -> dict[str, str]:
    """Return the address of each remote by its name; the last one where there are several."""
    found: dict[str, str] = {}
    remote: str | None = None
    for line in _lines(text):
        section = _SECTION.match(line)
        if section:
            remote = _remote_of(section)
            line = line[section.end() :].lstrip()
        key, equals, value = line.partition("=")
        if remote is not None and equals and key.strip().lower() == "url":
            found[remote] = _value(value)
    return found


def _lines(text: str) -> Iterator[str]:
    """Yield lines without their indentation; one that ends with a backslash goes on."""
    begun = ""
    for line in text.splitlines():
        joined = begun + (line if begun else line.lstrip())
        backslashes = len(joined) - len(joined.rstrip("\\"))
        if backslashes % 2:
            begun = joined[:-1]
        else:
            begun = ""
            yield joined
    if begun:
        yield begun


def _remote_of(section: re.Match[str]) -> str | None:
    name, sub_section = section.group(1), section.group(2)
    if sub_section is None:
        kind, _, dotted = name.partition(".")
        return dotted or None if kind.lower() == "remote" else None
    return re.sub(r"\\(.)", r"\1", sub_section) if name.lower() == "remote" else None


def _value(text: str) -> str:
    """Return a value without quotes, escapes and the comment behind it."""
    kept: list[str] = []
    quoted = False
    solid = 0  # what was written so far ends here, without the blanks behind it
    characters = iter(text.strip())
    for each in characters:
        if each == '"':
            quoted = not quoted
            solid = len(kept)
            continue
        if each in "#;" and not quoted:
            break
        if each == "\\":
            escaped = next(characters, "")
            each = _ESCAPES.get(escaped, escaped)
        kept.append(each)
        if quoted or not each.isspace():
            solid = len(kept)
    return "".join(kept[:solid])
