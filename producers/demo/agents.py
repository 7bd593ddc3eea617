"""Who is in the demo fleet, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["coding", "cron", "crawler", "chat"]


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent of the fleet.

    Units: `weight` is how often it runs beside the others; `failure_rate` the share of its runs
    that do not succeed.
    """

    name: str
    kind: Kind
    project: str
    owner: str
    model: str
    weight: int = 2
    failure_rate: float = 0.1

    @property
    def host(self) -> str:
        """The machine that the agent runs on."""
        return f"{self.kind}-{1 + sum(self.name.encode()) % 3:02}"


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What one model of the demo costs; made up, near to what such models cost.

    Units: US dollars for a million tokens.
    """

    provider: str
    input_usd: float
    output_usd: float


MODELS = {
    "claude-opus-4-5": ModelPrice("anthropic", 5.0, 25.0),
    "claude-sonnet-4-5": ModelPrice("anthropic", 3.0, 15.0),
    "claude-haiku-4-5": ModelPrice("anthropic", 1.0, 5.0),
    "gpt-5-mini": ModelPrice("openai", 0.25, 2.0),
}

AGENTS: tuple[Agent, ...] = (
    Agent("feature-coder", "coding", "storefront", "web-team", "claude-opus-4-5", 4, 0.12),
    Agent("bug-fixer", "coding", "storefront", "web-team", "claude-sonnet-4-5", 4, 0.18),
    Agent("api-coder", "coding", "orders-api", "api-team", "claude-sonnet-4-5", 3, 0.1),
    Agent("migration-writer", "coding", "orders-api", "api-team", "claude-opus-4-5", 1, 0.25),
    Agent("test-writer", "coding", "billing", "billing-team", "claude-sonnet-4-5", 3, 0.1),
    Agent("review-bot", "coding", "billing", "billing-team", "claude-sonnet-4-5", 3, 0.05),
    Agent("docs-writer", "coding", "handbook", "docs-team", "claude-haiku-4-5", 2, 0.05),
    Agent("dependency-updater", "coding", "platform", "infra-team", "claude-sonnet-4-5", 2, 0.3),
    Agent("nightly-backup", "cron", "platform", "infra-team", "gpt-5-mini", 3, 0.04),
    Agent("invoice-sync", "cron", "billing", "billing-team", "gpt-5-mini", 6, 0.1),
    Agent("report-builder", "cron", "analytics", "data-team", "claude-haiku-4-5", 4, 0.08),
    Agent("cache-warmer", "cron", "storefront", "web-team", "gpt-5-mini", 6, 0.03),
    Agent("log-triage", "cron", "platform", "infra-team", "claude-haiku-4-5", 5, 0.1),
    Agent("cost-watch", "cron", "platform", "infra-team", "claude-haiku-4-5", 4, 0.05),
    Agent("stale-branch-sweeper", "cron", "platform", "infra-team", "gpt-5-mini", 3, 0.1),
    Agent("certificate-check", "cron", "platform", "infra-team", "gpt-5-mini", 4, 0.02),
    Agent("data-quality", "cron", "analytics", "data-team", "claude-haiku-4-5", 3, 0.2),
    Agent("newsletter", "cron", "marketing", "growth-team", "claude-haiku-4-5", 1, 0.1),
    Agent("docs-crawler", "crawler", "search", "search-team", "gpt-5-mini", 4, 0.12),
    Agent("price-crawler", "crawler", "pricing", "growth-team", "gpt-5-mini", 5, 0.2),
    Agent("news-crawler", "crawler", "search", "search-team", "gpt-5-mini", 4, 0.15),
    Agent("status-crawler", "crawler", "platform", "infra-team", "gpt-5-mini", 3, 0.08),
    Agent("jobs-crawler", "crawler", "hiring", "people-team", "gpt-5-mini", 2, 0.2),
    Agent("image-indexer", "crawler", "search", "search-team", "claude-haiku-4-5", 2, 0.15),
    Agent("support-chat", "chat", "support", "support-team", "claude-sonnet-4-5", 8, 0.05),
    Agent("sales-chat", "chat", "marketing", "growth-team", "claude-haiku-4-5", 5, 0.06),
    Agent("returns-chat", "chat", "support", "support-team", "claude-haiku-4-5", 4, 0.06),
    Agent("it-helpdesk", "chat", "platform", "infra-team", "claude-sonnet-4-5", 4, 0.1),
    Agent("onboarding-chat", "chat", "hiring", "people-team", "claude-haiku-4-5", 2, 0.04),
    Agent("analyst-chat", "chat", "analytics", "data-team", "claude-sonnet-4-5", 3, 0.1),
)

SUB_AGENTS = ("explorer", "planner", "test-runner", "reviewer")

TOOLS: dict[Kind, tuple[str, ...]] = {
    "coding": ("Read", "Read", "Grep", "Edit", "Edit", "Bash", "Bash", "WebFetch"),
    "cron": ("sql.query", "http.get", "storage.put"),
    "crawler": ("http.get", "http.get", "parse_html", "storage.put"),
    "chat": ("search_docs", "lookup_order", "create_ticket"),
}

FAILURES: tuple[tuple[str, str], ...] = (
    ("RateLimitError", "429: too many requests, retry after 20 s"),
    ("ToolError", "Bash exited with 1: 3 tests failed"),
    ("ContextLengthExceeded", "prompt is 214,880 tokens, the limit is 200,000"),
    ("ConnectionResetError", "connection reset by peer"),
    ("PermissionError", "access to table payouts was denied"),
    ("ValidationError", "field total: a number is needed, not 'n/a'"),
)
