"""Whatever an agent may hand to the client, hostile objects included."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from hypothesis import strategies as st


class Hostile:
    """Raises whatever is asked of it, but for what Hypothesis needs to print it."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return Hostile
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


class _Text(str):
    __slots__ = ()


class _Colour(Enum):
    RED = "red"


@dataclass
class _Point:
    x: float
    y: object


wild = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers()
    | st.fractions()
    | st.timedeltas()
    | st.builds(Hostile)
    | st.builds(_Text, st.text())
    | st.just(_Colour.RED)
    | st.just(_Colour)
    | st.just(len),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=3)
        | st.builds(_Point, inner, inner)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)
