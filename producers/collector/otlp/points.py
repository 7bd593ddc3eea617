"""What data points of metrics tell beside their value, alike for both encodings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRIC_KINDS = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponential_histogram": "exponential_histogram",
    "exponentialHistogram": "exponential_histogram",
    "summary": "summary",
}
"""The names that a metric's data have in both encodings, and what they are called here."""

_TEMPORALITIES = {1: "delta", 2: "cumulative"}


def number_details(temporality: int, monotonic: bool | None, description: str) -> dict[str, Any]:
    """Return what a metric says of all its points."""
    found = {
        "temporality": _TEMPORALITIES.get(temporality),
        "monotonic": monotonic,
        "description": description or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def histogram_details(
    count: int, limits: Mapping[str, float], buckets: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a histogram's point tells; buckets that are empty are left out."""
    return {"count": count, **limits, **{name: each for name, each in buckets.items() if each}}


def summary_details(count: int, quantiles: Mapping[float, float]) -> dict[str, Any]:
    """Return what a summary's point tells."""
    return {"count": count, "quantiles": {f"{at:g}": value for at, value in quantiles.items()}}
