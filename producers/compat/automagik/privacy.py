"""Taking secrets and personal data out of texts, as the Automagik SDK promised to.

Source: the contract's section 1.7. Its test vectors hold; what it mangled or let through is mended:
a card's last digits, phones with a country code, UUIDs taken for phones, `prompt_tokens` taken for
a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

SanitizationStrategy = Literal["hash", "redact", "truncate"]

SENSITIVE_KEYS = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_token",
    "refresh_token",
    "private_key",
    "credit_card",
    "ssn",
    "social_security",
]

_API_KEY = re.compile(
    r"\b(?:sk_live_|sk_test_|pk_live_|pk_test_|Bearer\s+|api[_-]?key[_-]?)[\w-]{20,}\b",
    re.IGNORECASE | re.ASCII,
)
_EMAIL = re.compile(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}")
_CARD = re.compile(r"\b(?:[0-9]{4}[-\s]?){3}[0-9]{4}\b")
_IPV4 = re.compile(r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b")
_USER_PATH = re.compile(r"/(?:home|Users)/[\w-]+|[A-Z]:\\Users\\[\w-]+", re.IGNORECASE | re.ASCII)
_PHONE = re.compile(
    # A UUID's digits are no phone, nor are those of a longer number or word.
    r"(?P<uuid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)"
    r"|(?<!\w)(?:\+?[0-9]{1,3}[-.\s]?)?(?:\([0-9]{2,4}\)|[0-9]{2,4})[-.\s]?[0-9]{3,5}[-.\s]?[0-9]{4}"
    r"(?!\w)"
)
_MOST_PHONE_DIGITS = 15  # ITU-T E.164


@dataclass
class PrivacyConfig:
    """How texts are cleaned. Units: `max_string_length` in characters."""

    strategy: SanitizationStrategy = "hash"
    max_string_length: int = 1000
    redaction_text: str = "[REDACTED]"


DEFAULT_CONFIG = PrivacyConfig()


def hash_value(value: str) -> str:
    """Return `sha256:` and the first 16 hexadecimal digits of the hash of `value`."""
    return f"sha256:{sha256(value.encode('utf-8', 'backslashreplace')).hexdigest()[:16]}"


def truncate_string(value: str, max_length: int) -> str:
    """Return `value`, of at most `max_length` characters, the last three dots where it was cut."""
    if len(value) <= max_length:
        return value
    return f"{value[: max_length - 3]}..." if max_length >= 3 else value[:max_length]


def detect_pii(value: object) -> bool:
    """Say whether a text holds personal data or a secret; what is no text does not."""
    if not isinstance(value, str):
        return False
    return _without_phones(value, "") != value or any(
        pattern.search(value) for pattern in (_EMAIL, _API_KEY, _CARD, _IPV4, _USER_PATH)
    )


def sanitize_phone(value: str, config: PrivacyConfig | None = None) -> str:
    """Replace phone numbers."""
    cleaning = config or DEFAULT_CONFIG
    replaced = _replacement(cleaning, "XXX-XXX-XXXX")
    return value if replaced is None else _without_phones(value, replaced)


def sanitize_email(value: str, config: PrivacyConfig | None = None) -> str:
    """Replace e-mail addresses."""
    cleaning = config or DEFAULT_CONFIG
    replaced = _replacement(cleaning, _masked_address)
    return value if replaced is None else _EMAIL.sub(_as_function(replaced), value)


def sanitize_value(value: Any, config: PrivacyConfig | None = None) -> Any:
    """Return `value` with every text in it cut and cleaned, in lists, tuples and dicts too."""
    if isinstance(value, str):
        return _sanitize_text(value, config or DEFAULT_CONFIG)
    if isinstance(value, dict):
        return {key: sanitize_value(each, config) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [sanitize_value(each, config) for each in value]
    return value


def redact_sensitive_keys(
    obj: dict[str, Any], keys: list[str], config: PrivacyConfig | None = None
) -> dict[str, Any]:
    """Return `obj` with the values of all keys hidden that contain one of `keys`, in any case.

    Shape: recurses into dicts and lists. A number under a key that only contains `token` is a
    count of tokens, and stays.
    """
    return {
        key: (config or DEFAULT_CONFIG).redaction_text
        if _is_sensitive(str(key).lower(), value, keys)
        else _redacted_below(value, keys, config)
        for key, value in obj.items()
    }


def sanitize_telemetry_data(
    data: dict[str, Any], config: PrivacyConfig | None = None
) -> dict[str, Any]:
    """Return `data` without the values of `SENSITIVE_KEYS`, and with all texts cleaned."""
    return {
        key: sanitize_value(value, config)
        for key, value in redact_sensitive_keys(data, SENSITIVE_KEYS, config).items()
    }


def _sanitize_text(value: str, cleaning: PrivacyConfig) -> str:
    """Clean a text. A card number comes before a phone, whose digits it would begin with."""
    cleaned = truncate_string(value, cleaning.max_string_length)
    cleaned = _API_KEY.sub(lambda _: cleaning.redaction_text, cleaned)
    cleaned = _CARD.sub(
        lambda found: cleaning.redaction_text if _is_card(found[0]) else found[0], cleaned
    )
    cleaned = sanitize_email(sanitize_phone(cleaned, cleaning), cleaning)
    hide = hash_value if cleaning.strategy == "hash" else "X.X.X.X"
    cleaned = _IPV4.sub(_as_function(hide), cleaned)
    return _USER_PATH.sub("/[USER_PATH]", cleaned)


Replacement = str | Callable[[str], str]


def _replacement(cleaning: PrivacyConfig, mask: Replacement) -> Replacement | None:
    """Return what a find is replaced with; None for a strategy that nobody knows."""
    known: dict[str, Replacement] = {
        "hash": hash_value,
        "redact": cleaning.redaction_text,
        "truncate": mask,
    }
    return known.get(cleaning.strategy)


def _as_function(replaced: Replacement) -> Callable[[re.Match[str]], str]:
    return lambda found: replaced if isinstance(replaced, str) else replaced(found[0])


def _without_phones(value: str, replaced: Replacement) -> str:
    replace = _as_function(replaced)

    def unless_too_long(found: re.Match[str]) -> str:
        digits = sum(each.isdigit() for each in found[0])
        return found[0] if found["uuid"] or digits > _MOST_PHONE_DIGITS else replace(found)

    return _PHONE.sub(unless_too_long, value)


def _masked_address(address: str) -> str:
    user, domain = address.split("@", 1)
    return f"{user[:2]}***@{domain}"


def _is_card(digits: str) -> bool:
    """Tell by Luhn's sum whether 16 digits may be a card's number."""
    plain = [int(each) for each in digits if each.isdigit()]
    doubled = [each * 2 - 9 * (each > 4) for each in plain[0::2]]
    return (sum(doubled) + sum(plain[1::2])) % 10 == 0


def _is_sensitive(key: str, value: object, keys: list[str]) -> bool:
    found = {each.lower() for each in keys if each.lower() in key}
    is_count = isinstance(value, (int, float)) and found == {"token"}
    return bool(found) and not is_count


def _redacted_below(value: Any, keys: list[str], config: PrivacyConfig | None) -> Any:
    if isinstance(value, dict):
        return redact_sensitive_keys(value, keys, config)
    if isinstance(value, (list, tuple)):
        return [_redacted_below(each, keys, config) for each in value]
    return value
