-- What the tables of the export are, said of the lake's own views in DuckDB: the same question then
-- has to have the same answer here and in PostgreSQL. Written apart from the export's questions.
create schema if not exists runfold;

create or replace view runfold.run_names as
select run_id, parent_run_id, agent_name, project from main.lake_states;

create or replace view runfold.runs as from main.runs;

create or replace view runfold.events_recent as
select e.* replace (coalesce(e.agent_name, r.agent_name) as agent_name,
                    coalesce(e.project, r.project) as project),
       e."offset" as log_offset
from main.events as e left join runfold.run_names as r using (run_id)
where e.recorded_at > now() - interval ({recent_days}) days;

create or replace view runfold.errors as
select * from runfold.events_recent
where event_type = 'error.raised' or error_type is not null or error_message is not null;

create or replace view runfold.dead_letters as
select * exclude ("offset"), "offset" as log_offset from main.dead_letters;

create or replace view runfold.tools_daily as
select e.occurred_at::date as day, e.tool_name, coalesce(e.agent_name, r.agent_name) as agent_name,
       coalesce(e.project, r.project) as project, count(*) as calls,
       count(*) filter (where lower(e.status) in ('failure', 'failed', 'error', 'timeout'))
           as failed,
       count(e.duration_ms) as duration_count, sum(e.duration_ms) as duration_ms_sum,
       min(e.duration_ms) as duration_ms_min, max(e.duration_ms) as duration_ms_max,
       quantile_cont(e.duration_ms, 0.5) as duration_ms_p50,
       quantile_cont(e.duration_ms, 0.95) as duration_ms_p95,
       quantile_cont(e.duration_ms, 0.99) as duration_ms_p99
from main.events as e left join runfold.run_names as r using (run_id)
where e.event_type = 'tool.ended'
group by all;

create or replace view runfold.metrics_hourly as
select date_trunc('hour', e.occurred_at) as hour, e.name as metric,
       coalesce(e.agent_name, r.agent_name) as agent_name,
       coalesce(e.project, r.project) as project, max(e.unit) as unit, count(*) as count,
       sum(e.value) as sum, min(e.value) as min, max(e.value) as max,
       quantile_cont(e.value, 0.5) as p50, quantile_cont(e.value, 0.95) as p95,
       quantile_cont(e.value, 0.99) as p99
from main.events as e left join runfold.run_names as r using (run_id)
where e.event_type = 'metric.recorded'
group by all;

-- An event is charged to its own agent, and once to each agent that has a run above it.
create or replace view runfold.costs_daily as
with recursive above as (
    select run_id, run_id as ancestor from runfold.run_names
    union
    select above.run_id, r.parent_run_id
    from above join runfold.run_names as r on r.run_id = above.ancestor
    where r.parent_run_id is not null
),
spent as (
    select e.topic_id, e.partition, e."offset", e.run_id, e.occurred_at::date as day,
           coalesce(e.agent_name, r.agent_name) as agent_name,
           coalesce(e.project, r.project) as project, e.provider, e.model,
           (e.event_type = 'llm.called')::int as llm_calls,
           coalesce(e.input_tokens, 0) as input_tokens,
           coalesce(e.output_tokens, 0) as output_tokens,
           coalesce(e.cache_read_tokens, 0) as cache_read_tokens,
           coalesce(e.cache_write_tokens, 0) as cache_write_tokens,
           coalesce(e.reasoning_tokens, 0) as reasoning_tokens,
           coalesce(e.cost_usd, 0) as cost_usd
    from main.events as e left join runfold.run_names as r using (run_id)
    where e.event_type = 'llm.called' or e.cost_usd is not null
),
charged as (
    select *, true as own from spent
    union all
    select distinct s.* replace (r.agent_name as agent_name, r.project as project), false as own
    from spent as s join above using (run_id) join runfold.run_names as r on r.run_id = ancestor
    where (r.agent_name, r.project) is distinct from (s.agent_name, s.project)
)
select day, agent_name, project, provider, model,
       coalesce(sum(llm_calls) filter (where own), 0) as llm_calls,
       coalesce(sum(input_tokens) filter (where own), 0) as input_tokens,
       coalesce(sum(output_tokens) filter (where own), 0) as output_tokens,
       coalesce(sum(cache_read_tokens) filter (where own), 0) as cache_read_tokens,
       coalesce(sum(cache_write_tokens) filter (where own), 0) as cache_write_tokens,
       coalesce(sum(reasoning_tokens) filter (where own), 0) as reasoning_tokens,
       coalesce(sum(cost_usd) filter (where own), 0) as cost_usd,
       sum(llm_calls) as tree_llm_calls,
       sum(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens) as tree_tokens,
       sum(cost_usd) as tree_cost_usd
from charged
group by all;

-- What the lake can know of the export's look at it.
create or replace view runfold.pipeline_health as
with counted as (
    select count(*) filter (where dead_letter_reason is null) as events,
           count(*) filter (where dead_letter_reason is not null) as dead_letters
    from main.lake_rows
),
stored as (
    select sum(records) as records, sum(holes) as holes
    from (
        select sum(last - first + 1) as records, max(last) + 1 - min(first) - records as holes
        from main.lake_event_files group by topic_id, partition
    )
)
select (select max(recorded_at) from main.events) as checked_at, 'a-topic' as topic_id,
       'runfold.events' as topic, records, events, records - events - dead_letters as duplicates,
       dead_letters, (select sum(missing_events) from main.runs) as missing, holes
from counted, stored;
