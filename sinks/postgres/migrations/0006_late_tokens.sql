-- The tokens of a generation may be known after its call only, as its cost may.

create or replace view agent_framework.telemetry_events as
select runfold.row_id(e.partition, e.log_offset) as id,
       e.host as host_id, e.session_id,
       e.attributes ->> 'event_type' as event_type,
       e.agent_name,
       e.attributes ->> 'hook_name' as hook_name,
       e.tool_name,
       e.attributes ->> 'mode' as mode,
       e.attributes ->> 'execution_type' as execution_type,
       e.decision, e.decision_reason,
       e.attributes ->> 'working_dir' as working_dir,
       round(e.duration_ms)::integer as latency_ms,
       coalesce(e.attributes ->> 'success', 'true') = 'true' as success,
       coalesce(runfold.whole(e.attributes ->> 'error_count'), 0) as error_count,
       e.attributes ->> 'model_tier' as model_tier,
       e.model as model_name,
       e.occurred_at as created_at,
       e.attributes -> 'extra_data' as extra_data,
       coalesce(runfold.whole(e.attributes ->> 'prompt_tokens'),
                late.prompt_tokens) as prompt_tokens,
       coalesce(runfold.whole(e.attributes ->> 'completion_tokens'),
                late.completion_tokens) as completion_tokens,
       coalesce(runfold.whole(e.attributes ->> 'total_tokens'),
                late.prompt_tokens + late.completion_tokens) as total_tokens,
       coalesce(runfold.whole(e.attributes ->> 'cached_tokens'),
                late.cached_tokens) as cached_tokens,
       coalesce(runfold.whole(e.attributes ->> 'reasoning_tokens'),
                late.reasoning_tokens) as reasoning_tokens,
       -- A cost may come later, for a generation, and its tokens; each counts once, where the
       -- event has none.
       coalesce(case when jsonb_typeof(e.attributes -> 'cost') = 'number'
                     then (e.attributes ->> 'cost')::numeric(20, 8) end, late.cost) as cost,
       e.attributes ->> 'client_version' as client_version,
       e.attributes ->> 'generation_id' as generation_id,
       0 as cost_fetch_retries
from runfold.event_rows as e
left join lateral (
    select l.cost_usd::numeric(20, 8) as cost,
           runfold.whole(l.attributes ->> 'prompt_tokens') as prompt_tokens,
           runfold.whole(l.attributes ->> 'completion_tokens') as completion_tokens,
           runfold.whole(l.attributes ->> 'cached_tokens') as cached_tokens,
           runfold.whole(l.attributes ->> 'reasoning_tokens') as reasoning_tokens
    from runfold.event_rows as l
    where l.name = 'cost.added' and l.run_id = e.run_id
          and l.attributes ->> 'generation_id' = e.attributes ->> 'generation_id'
    order by l.log_offset
    limit 1
) as late on true
where e.family = 'agent_framework' and e.attributes ? 'event_type';
