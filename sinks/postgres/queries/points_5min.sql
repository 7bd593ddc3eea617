-- Of the events that the view automagik.metrics shows, in its words.
select time_bucket(interval '5 minutes', e.occurred_at) as bucket,
       coalesce(e.project, e.agent_name, '') as project,
       coalesce(said ->> '$."service.name"', e.project, e.agent_name, '') as service,
       coalesce(e.name, '') as metric,
       if(lower(said ->> '$.metric_type') in ('counter', 'sum'), 'SUM', 'GAUGE') as metric_type,
       coalesce(e.environment, 'production') as environment,
       count(*) as count,
       sum(e.value order by e.value) as sum,
       sum(e.value order by e.value) / count(*) as avg,
       min(e.value) as min, max(e.value) as max,
       quantile_cont(e.value, 0.5) as p50, quantile_cont(e.value, 0.95) as p95,
       quantile_cont(e.value, 0.99) as p99
from (select *, if(json_valid(attributes), attributes, null) as said from events) as e
where e.event_type = 'metric.recorded' and isfinite(e.value)
      and coalesce(lower(said ->> '$.metric_type'), '') not in
          ('histogram', 'exponential_histogram', 'summary')
      and {within} and time_bucket(interval '5 minutes', e.occurred_at) in (select bucket from stale)
group by all
