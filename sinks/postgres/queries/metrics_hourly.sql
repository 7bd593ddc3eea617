select date_trunc('hour', e.occurred_at) as hour, e.name as metric,
       coalesce(e.agent_name, r.agent_name) as agent_name,
       coalesce(e.project, r.project) as project,
       max(e.unit) as unit, count(*) as count,
       -- In one order, so that it is one number however often and from whatever files it is summed.
       sum(e.value order by e.value) as sum, min(e.value) as min, max(e.value) as max,
       quantile_cont(e.value, 0.5) as p50, quantile_cont(e.value, 0.95) as p95,
       quantile_cont(e.value, 0.99) as p99
from events as e left join run_names as r using (run_id)
where e.event_type = 'metric.recorded' and e.name is not null and isfinite(e.value)
      and {within} and date_trunc('hour', e.occurred_at) in (select bucket from stale)
group by all
