-- Of the events that the view automagik.traces shows, in its words.
select date_trunc('hour', e.occurred_at) as hour,
       coalesce(e.project, e.agent_name, '') as project,
       coalesce(if(json_valid(e.attributes), e.attributes ->> '$."service.name"', null),
                e.project, e.agent_name, '') as service,
       coalesce(e.name, e.tool_name, e.model, '') as span,
       coalesce(e.environment, 'production') as environment,
       count(*) as total_count,
       count(*) filter (e.event_type = 'error.raised' or e.error_type is not null
                        or lower(e.status) in ('failure', 'failed', 'error', 'timeout'))
           as error_count,
       count(duration) as duration_count,
       quantile_cont(duration, 0.5) as p50, quantile_cont(duration, 0.95) as p95,
       quantile_cont(duration, 0.99) as p99,
       sum(duration order by duration) / count(duration) as avg,
       max(duration) as max, min(duration) as min
from (
    -- A duration of nothing says that there was none to tell.
    select *, case when isfinite(duration_ms) and duration_ms > 0 then duration_ms end as duration
    from events
) as e
where (e.event_type = 'span.ended' or contains(e.attributes, '"span.kind"')
       or (e.event_type in ('custom', 'error.raised')
           and contains(e.attributes, '"system.project_name"')))
      and {within} and date_trunc('hour', e.occurred_at) in (select bucket from stale)
group by all
