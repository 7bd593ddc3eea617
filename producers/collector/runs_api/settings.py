"""How the runs API answers where its docs, its tests and its code disagreed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RunsApiSettings:
    """The switches of the runs API, see docs/runs-api.md.

    Shape: `duplicate_status` answers a run that is there already: 201, or 200. `invalid_status`
    answers a status that nobody knows and a negative count: 400, or 422. With a `token` writing
    needs `Authorization: Bearer <token>`. `requests_a_minute` are those of one address, None for
    any number.
    Units: `patience` is how long an answer may wait until it can tell of what was written.
    """

    duplicate_status: int = 201
    invalid_status: int = 400
    token: str | None = None
    requests_a_minute: int | None = None
    patience: timedelta = timedelta(seconds=5)
