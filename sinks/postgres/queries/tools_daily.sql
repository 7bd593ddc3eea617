select date_trunc('day', e.occurred_at)::date as day, e.tool_name,
       coalesce(e.agent_name, r.agent_name) as agent_name,
       coalesce(e.project, r.project) as project,
       count(*) as calls,
       count(*) filter (canonical_status(e.status) in ({failed_tool_statuses})) as failed,
       count(e.duration_ms) as duration_count,
       sum(e.duration_ms order by e.duration_ms) as duration_ms_sum,
       min(e.duration_ms) as duration_ms_min, max(e.duration_ms) as duration_ms_max,
       quantile_cont(e.duration_ms, 0.5) as duration_ms_p50,
       quantile_cont(e.duration_ms, 0.95) as duration_ms_p95,
       quantile_cont(e.duration_ms, 0.99) as duration_ms_p99
from (
    select * replace (if(isfinite(duration_ms), duration_ms, null) as duration_ms) from events
) as e left join run_names as r using (run_id)
where e.event_type = 'tool.ended'
      and {within} and date_trunc('day', e.occurred_at) in (select bucket from stale)
group by all
