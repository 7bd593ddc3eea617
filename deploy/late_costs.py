"""The costs that OpenRouter is asked for: which the lake is without, and by whose key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from runfold.deploy.agent_framework import AgentFrameworkEnvironment
from runfold.deploy.settings import Settings
from runfold.producers.collector.agent_framework.late_costs import LateCosts, Uncosted
from runfold.producers.collector.agent_framework.mapping import cost_id
from runfold.producers.collector.agent_framework.openrouter import OpenRouter
from runfold.producers.collector.collector import Collector
from runfold.schemas.errors import ConfigurationError
from runfold.sinks.object_path import LakePath
from runfold.sinks.query import open_lake

_UNCOSTED = """
with recent as (
    select * from events
    where date >= (now() - to_seconds(?))::date and recorded_at >= now() - to_seconds(?)
), told as (
    select *, case when json_valid(attributes) then attributes end as said
    from recent where attributes like '%"generation_id"%' and event_id like 'af-%'
)
select run_id, host, session_id as session, (said ->> 'generation_id') as generation,
       epoch_us(occurred_at) as occurred_at, agent_name as agent, model, project,
       coalesce((said -> 'prompt_tokens'), (said -> 'completion_tokens')) is not null as has_tokens
from told
where (said ->> 'event_type') is not null and (said -> 'cost') is null
      and generation <> '' and host is not null and session is not null
"""
_COSTS = """
select run_id, event_id from events
where date >= (now() - to_seconds(?))::date - 1 and event_id like 'af-cost-%'
"""


def late_costs(settings: Settings, collector: Collector) -> LateCosts | None:
    """Return what finds costs out, None where nobody has a key for OpenRouter.

    Raises: ConfigurationError.
    """
    environment = AgentFrameworkEnvironment()
    key = environment.key_for_openrouter
    if key is None:
        return None
    url = environment.openrouter_base_url
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise ConfigurationError(f"OPENROUTER_BASE_URL: {url!r} is no https:// address")

    def find(within: timedelta) -> Sequence[Uncosted]:
        return uncosted(settings.lake_dir, within)

    return LateCosts(collector, OpenRouter(url, key), find)


def uncosted(lake: LakePath, within: timedelta) -> list[Uncosted]:
    """Return the events that the log took in that time, and that are without their cost.

    Raises: LakeUnavailable, QueryFailed.
    """
    seconds = within.total_seconds()
    with open_lake(lake) as queries:
        found = queries.rows(_UNCOSTED, [seconds, seconds])
        costs = queries.rows(_COSTS, [seconds]) if found else []
    known = {(each["run_id"], each["event_id"]) for each in costs}
    return [
        Uncosted(**{name: value for name, value in each.items() if name != "run_id"})
        for each in found
        if (each["run_id"], cost_id(each["generation"])) not in known
    ]
