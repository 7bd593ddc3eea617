"""The words and limits of the fold, as the SQL that folds events again spells them."""

from __future__ import annotations

from collections.abc import Iterable

from runfold.schemas.event_ids import MINTED_ID_PATTERN
from runfold.schemas.run_state import (
    MOST_TOKENS,
    MOST_USD,
    NANO_USD,
    PROFILE_FIELDS,
    TOKEN_FIELDS,
)
from runfold.schemas.vocabulary import (
    BLANKS,
    FAILED_TOOL_STATUSES,
    STATUS_ALIASES,
    TERMINAL_STATUSES,
    EventType,
)


def fold_words() -> dict[str, str]:
    """Return what `run_at.sql` leaves open, by name."""
    return {
        "blanks": BLANKS.encode("unicode_escape").decode(),
        "status_aliases": "\n".join(
            f"         when '{alias}' then '{meant.value}'"
            for alias, meant in STATUS_ALIASES.items()
        ),
        "failed_tool_statuses": _listed(FAILED_TOOL_STATUSES),
        "terminal_statuses": _listed(TERMINAL_STATUSES),
        "known_types": _listed(each.value for each in EventType),
        "minted_id": MINTED_ID_PATTERN,
        "most_usd": str(MOST_USD),
        "nano_usd": str(NANO_USD),
        "profile": ",\n".join(map(_profile_field, PROFILE_FIELDS)),
        "tokens": ",\n".join(map(_token_sum, TOKEN_FIELDS)),
    }


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


def _profile_field(name: str) -> str:
    """The latest override, else the first start, else whoever said it first.

    Nobody overrides the project.
    """
    first = f'arg_min({name}, if(starts, -1, "offset"))'
    if name == "project":
        return f"           {first} as {name}"
    return (
        f"           coalesce(arg_max({name}, by_time) filter (overrides),\n"
        f"                    {first}) as {name}"
    )


def _token_sum(name: str) -> str:
    within = f"{name} between -{MOST_TOKENS} and {MOST_TOKENS}"
    return f"           coalesce(sum({name}) filter ({within}), 0)::bigint as {name}"
