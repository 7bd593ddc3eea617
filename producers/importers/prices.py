"""What model calls cost by list price, for transcripts that do not say it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import orjson

_PROVIDER_PREFIX = re.compile(r"^(?:[a-z-]+\.)?anthropic[./]")
_RELEASE_SUFFIX = re.compile(r"(?:[-@](?:\d{8}|latest))?(?:-v\d+(?::\d+)?)?(?:\[1m\])?$")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one model call; `cache_write_1h` is the part of `cache_write` kept an hour."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0

    def __or__(self, other: Usage) -> Usage:
        """Return the greater of both, field by field: usage of one call only grows."""
        return Usage(
            max(self.input, other.input),
            max(self.output, other.output),
            max(self.cache_read, other.cache_read),
            max(self.cache_write, other.cache_write),
            max(self.cache_write_1h, other.cache_write_1h),
        )


@dataclass(frozen=True, slots=True)
class PriceList:
    """List prices as `prices.json` gives them. Units: US dollars for a million tokens."""

    as_of: str
    cache_write_5m_factor: float
    cache_write_1h_factor: float
    cache_read_factor: float
    models: dict[str, tuple[float, float]]

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """Return what a call costs by list, None where the model is not on it."""
        price = self.models.get(family(model))
        if price is None:
            return None
        input_usd, output_usd = price
        short_lived = usage.cache_write - min(usage.cache_write_1h, usage.cache_write)
        weighted = (
            usage.input
            + usage.cache_read * self.cache_read_factor
            + short_lived * self.cache_write_5m_factor
            + (usage.cache_write - short_lived) * self.cache_write_1h_factor
        )
        return round((weighted * input_usd + usage.output * output_usd) / _MILLION, 9)


@cache
def family(model: str) -> str:
    """Return `model` without the cloud that serves it and without its release date."""
    return _RELEASE_SUFFIX.sub("", _PROVIDER_PREFIX.sub("", model), count=1)


@cache
def list_prices() -> PriceList:
    """Return the prices that come with this package."""
    path = files("runfold.producers.importers") / "prices.json"
    listed = orjson.loads(path.read_bytes())
    return PriceList(
        as_of=listed["as_of"],
        cache_write_5m_factor=listed["cache_write_5m_factor"],
        cache_write_1h_factor=listed["cache_write_1h_factor"],
        cache_read_factor=listed["cache_read_factor"],
        models={name: (each["input"], each["output"]) for name, each in listed["models"].items()},
    )
