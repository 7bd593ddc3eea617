"""List prices."""

from __future__ import annotations

import pytest

from runfold.producers.importers.prices import Usage, family, list_prices


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1"),
        ("anthropic/claude-sonnet-4", "claude-sonnet-4"),
        ("claude-opus-4-1@20250805", "claude-opus-4-1"),
        ("claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("glm-4.6", "glm-4.6"),
    ],
)
def test_a_model_is_known_by_its_family(model: str, expected: str) -> None:
    assert family(model) == expected


def test_each_kind_of_token_has_its_price() -> None:
    usage = Usage(1_000_000, 1_000_000, 1_000_000, 2_000_000, 1_000_000)
    cost = list_prices().cost_usd("claude-sonnet-4-5-20250929", usage)
    assert cost == pytest.approx(3 + 15 + 0.3 + 3.75 + 6)


def test_an_unknown_model_has_no_price() -> None:
    assert list_prices().cost_usd("claude-sonnet-99", Usage(input=5)) is None


def test_usage_of_one_call_only_grows() -> None:
    assert Usage(1, 5, 3, 0, 0) | Usage(1, 2, 3, 4, 0) == Usage(1, 5, 3, 4, 0)
