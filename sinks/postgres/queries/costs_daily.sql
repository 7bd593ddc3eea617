-- What each agent spent itself, and with the runs below its own. Of a tree in which an agent calls
-- itself, or two runs of one agent, every event counts once for that agent.
with recursive spent as materialized (
    select date_trunc('day', e.occurred_at)::date as day, e.run_id,
           coalesce(e.agent_name, r.agent_name) as agent_name,
           coalesce(e.project, r.project) as project, e.provider, e.model,
           count(*) filter (e.event_type = 'llm.called') as llm_calls,
           {tokens},
           -- As the fold does: each event's cost is rounded before it is summed.
           coalesce(sum(case when cost_usd between -{most_usd} and {most_usd}
                             then floor(cost_usd * {nano_usd} + 0.5)::bigint end), 0)::bigint
               as cost_nano_usd
    from events as e left join run_names as r using (run_id)
    where (e.event_type = 'llm.called' or e.cost_usd is not null or e.input_tokens is not null
           or e.output_tokens is not null or e.cache_read_tokens is not null
           or e.cache_write_tokens is not null or e.reasoning_tokens is not null)
          and {within} and date_trunc('day', e.occurred_at) in (select bucket from stale)
    group by all
),
lineage as (
    select distinct run_id, run_id as ancestor from spent
    union
    select lineage.run_id, r.parent_run_id
    from lineage join run_names as r on r.run_id = lineage.ancestor
    where r.parent_run_id is not null
),
-- Whom an event is charged to: its own agent, and those of the runs above it.
charged as (
    select row_number() over () as entry, * from spent
),
bearers as (
    select entry, agent_name, project, true as own from charged
    union all
    select distinct c.entry, r.agent_name, r.project, false as own
    from charged as c join lineage using (run_id) join run_names as r on r.run_id = lineage.ancestor
    where (r.agent_name, r.project) is distinct from (c.agent_name, c.project)
)
select c.day, b.agent_name, b.project, c.provider, c.model,
       coalesce(sum(c.llm_calls) filter (b.own), 0)::bigint as llm_calls,
       coalesce(sum(c.input_tokens) filter (b.own), 0)::bigint as input_tokens,
       coalesce(sum(c.output_tokens) filter (b.own), 0)::bigint as output_tokens,
       coalesce(sum(c.cache_read_tokens) filter (b.own), 0)::bigint as cache_read_tokens,
       coalesce(sum(c.cache_write_tokens) filter (b.own), 0)::bigint as cache_write_tokens,
       coalesce(sum(c.reasoning_tokens) filter (b.own), 0)::bigint as reasoning_tokens,
       coalesce(sum(c.cost_nano_usd) filter (b.own), 0)::bigint / 1e9 as cost_usd,
       sum(c.llm_calls)::bigint as tree_llm_calls,
       sum(c.input_tokens + c.output_tokens + c.cache_read_tokens + c.cache_write_tokens)::bigint
           as tree_tokens,
       sum(c.cost_nano_usd)::bigint / 1e9 as tree_cost_usd
from charged as c join bearers as b using (entry)
group by all
