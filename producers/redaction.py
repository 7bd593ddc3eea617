"""Taking secrets, e-mail addresses and home folders out of text, before anything is written.

Every pattern takes time that grows with the text alone: repetitions are bounded, or begin only
where nothing of their kind stands before. And a pattern is tried only where one of its `hints`
is in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from runfold.schemas.errors import ConfigurationError

SECRET, EMAIL, OWN = "[secret]", "[email]", "[redacted]"


class _Rule(NamedTuple):
    """What is replaced by what; `hints` are looked for in the lower-case text.

    Shape: a pattern is a text until it is needed, since compiling all of them takes 20 ms.
    """

    hints: tuple[str, ...]
    pattern: str
    instead: str


_KEYS = r"""(?x)(?<![A-Za-z0-9])(?:
    sk-[\w-]{16,} | [sprw]k_(?:live|test)_\w{16,}                     # model providers, Stripe
  | gh[pousr]_\w{30,} | github_pat_\w{22,} | gl(?:pat|dt|rt|ptt)-[\w-]{20,}  # GitHub, GitLab
  | xox[abeoprs]-[\w-]{10,} | xapp-[\w-]{10,}                              # Slack
  | (?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}                                    # AWS
  | AIza[\w-]{35} | ya29\.[\w-]{20,} | GOCSPX-[\w-]{20,}                   # Google
  | hf_\w{30,} | npm_\w{36} | pypi-[\w-]{16,} | SG\.[\w-]{16,}\.[\w-]{16,}
  | dop_v1_\w{32,} | dapi[0-9a-f]{32} | r8_\w{30,} | gsk_\w{20,} | tvly-[\w-]{16,}
  | AGE-SECRET-KEY-\w+
  | (?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*                              # JWT
)"""
_ASSIGNED = r"""(?ix)
    ((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)
    \\?["']?\s{0,3}(?:=>|[=:])\s{0,3}(?:\\?["'])?)
    (?!\[secret\])[^\s"'\\,;&]{6,}
"""

_RULES = (
    _Rule(
        ("private key",),
        r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        SECRET,
    ),
    _Rule(("://",), r"(://[^\s/:@]{0,256}:)[^\s/]{1,1024}@", rf"\1{SECRET}@"),
    _Rule(("://",), r"(://)[^\s/:@]{16,1024}@", rf"\1{SECRET}@"),
    _Rule(
        (
            "sk-", "k_live_", "k_test_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
            "glpat-", "gldt-", "glrt-", "glptt-", "xox", "xapp-", "akia", "asia", "aroa", "aida",
            "aiza", "ya29.", "gocspx-", "hf_", "npm_", "pypi-", "sg.", "dop_v1_", "dapi", "r8_",
            "gsk_", "tvly-", "age-secret-key-", "eyj",
        ),
        _KEYS,
        SECRET,
    ),
    _Rule(
        ("bearer", "basic"),
        r"(?i)\b(bearer|authorization\W{1,4}basic)\s{1,3}(?=\S{0,40}[\d=])[\w.~+/=-]{12,}",
        rf"\1 {SECRET}",
    ),
    _Rule(
        ("password", "passwd", "passphrase", "secret", "token", "key"),
        _ASSIGNED,
        rf"\1{SECRET}",
    ),
    _Rule(
        ("@",),
        r"(?<![\w.%+'-])[\w.%+'-]{1,256}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w])",
        EMAIL,
    ),
    _Rule(
        ("/home/", "/users/", "\\users\\"),
        (
            r"(?:(?<=file://)|(?<![\w./]))(?:/[\w.-]{1,30}){0,2}/(?:home|Users)/[^/\s\"':,;\\]+"
            r"|(?i:[a-z]:\\{1,2}Users\\{1,2}(?:[^\\/:*?\"<>|\r\n]{1,64}(?=\\)|[^\\\s\"']{1,64}))"
        ),
        "~",
    ),
)  # fmt: skip


class Redactor:
    """Replaces what may not be written. Safe to use from any thread.

    Shape: secrets become `[secret]`, addresses `[email]`, a home folder `~`, and what one of the
    user's own patterns finds `[redacted]`.
    """

    def __init__(self, patterns: Sequence[re.Pattern[str]] = ()) -> None:
        self._own = tuple(patterns)
        home = _home()
        rules = _RULES if home is None else (*_RULES, home)
        self._rules = [(hints, re.compile(text), instead) for hints, text, instead in rules]

    def text(self, text: str) -> str:
        """Return `text` without what is to be redacted; the same object where nothing was."""
        folded = text.lower()
        for hints, pattern, instead in self._rules:
            for hint in hints:
                if hint in folded:
                    text = pattern.sub(instead, text)
                    break
        for pattern in self._own:
            text = pattern.sub(OWN, text)
        return text


def compile_patterns(patterns: Sequence[str | re.Pattern[str]]) -> tuple[re.Pattern[str], ...]:
    """Return a user's own patterns. Raises: ConfigurationError naming the one that is bad."""
    compiled = []
    for number, each in enumerate((patterns,) if isinstance(patterns, str) else patterns, start=1):
        what = f"patterns: number {number}, {each!r}"
        try:
            pattern = re.compile(each)
        except (re.error, TypeError) as error:
            raise ConfigurationError(f"{what}: {error}") from error
        if not isinstance(pattern.pattern, str):
            raise ConfigurationError(f"{what}: a pattern for text is needed, not one for bytes")
        compiled.append(pattern)
    return tuple(compiled)


_CAMEL = r"(?<=[a-z0-9])(?=[A-Z])"
_SECRET_NAME = (
    r"(?:^|[_\-. ])(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|"
    r"private[_-]?key|credentials?|authorization|cookie|credit[_-]?card|ssn|social[_-]?security)$"
)


@lru_cache(maxsize=4096)
def names_a_secret(name: str) -> bool:
    """Say whether what stands under `name` is a secret, whatever it looks like."""
    return re.search(_SECRET_NAME, re.sub(_CAMEL, "_", name[-100:]).lower()) is not None


def _home() -> _Rule | None:
    """Return the rule for this user's home, wherever it lies."""
    try:
        home = str(Path.home())
    except (RuntimeError, OSError):
        return None
    if len(home) <= len("/x"):
        return None
    return _Rule((home.lower(),), rf"(?<![\w./]){re.escape(home)}(?![\w.-])", "~")
