"""Where in the log runs were heard of last, for very many runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_MOST_RECENT = 20_000


class PastRuns:
    """The last offset of each of many runs, at 16 bytes a run.

    What it says of a run is a hint: it knows runs by a hash of 64 bits, so that of two runs in some
    10^12 it may mix one up with the other. Who looks the state up sees whose it is.
    """

    def __init__(self) -> None:
        import polars as pl  # the client, which has no use for this, does without

        self._recent: dict[str, int] = {}
        self._sorted = pl.DataFrame(schema={"run": pl.UInt64, "last_offset": pl.Int64})

    def __len__(self) -> int:
        """Return how many there are; one that was added twice lately counts twice."""
        return len(self._recent) + self._sorted.height

    def add(self, run_id: str, last_offset: int) -> None:
        """Remember that `run_id` was heard of last at `last_offset`."""
        self._recent[run_id] = last_offset
        if len(self._recent) >= _MOST_RECENT:
            self._settle_recent()

    def add_all(self, frame: pl.DataFrame) -> None:
        """Remember many runs. Shape: `frame` has `run_id` and `last_offset`."""
        import polars as pl

        hashed = frame.select(pl.col("run_id").hash().alias("run"), pl.col("last_offset"))
        together = pl.concat([self._sorted, hashed])
        self._sorted = together.group_by("run").agg(pl.col("last_offset").max()).sort("run")

    def find(self, run_ids: Iterable[str]) -> dict[str, int]:
        """Return the last offset of those of `run_ids` that are known."""
        found: dict[str, int] = {}
        unknown: list[str] = []
        for run_id in run_ids:
            last_offset = self._recent.get(run_id)
            if last_offset is None:
                unknown.append(run_id)
            else:
                found[run_id] = last_offset
        if unknown and self._sorted.height:
            found |= self._find_settled(unknown)
        return found

    def _find_settled(self, run_ids: list[str]) -> dict[str, int]:
        import polars as pl

        runs = self._sorted["run"]
        wanted = pl.Series(run_ids, dtype=pl.String).hash()
        places = runs.search_sorted(wanted).clip(upper_bound=runs.len() - 1)
        known = (runs.gather(places) == wanted).to_list()
        offsets = self._sorted["last_offset"].gather(places).to_list()
        each = zip(run_ids, offsets, known, strict=True)
        return {run_id: offset for run_id, offset, is_known in each if is_known}

    def _settle_recent(self) -> None:
        import polars as pl

        runs, offsets = list(self._recent), list(self._recent.values())
        self.add_all(pl.DataFrame({"run_id": runs, "last_offset": offsets}))
        self._recent.clear()
