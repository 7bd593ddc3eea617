-- Of the events that the view automagik.logs shows, in its words; a level without a number counts by
-- its name.
with written as (
    select date_trunc('hour', e.occurred_at) as hour,
           coalesce(e.project, e.agent_name, '') as project,
           coalesce(said ->> '$."service.name"', e.project, e.agent_name, '') as service,
           coalesce(e.environment, 'production') as environment,
           upper(coalesce(said ->> '$.severity_text', e.name, 'INFO')) as severity,
           if(regexp_full_match(said ->> '$.severity_number', '[0-9]{{1,2}}'),
              (said ->> '$.severity_number')::int, 0) as severity_number,
           coalesce(e.error_type, said ->> '$."exception.type"') is not null as is_exception
    from (select *, if(json_valid(attributes), attributes, null) as said from events) as e
    where e.event_type = 'log.written'
          and {within} and date_trunc('hour', e.occurred_at) in (select bucket from stale)
)
select hour, project, service, environment, severity, severity_number,
       count(*) as total_count,
       count(*) filter (severity_number >= 17
                        or severity_number = 0 and severity in ('ERROR', 'FATAL', 'CRITICAL'))
           as error_count,
       count(*) filter (severity_number between 13 and 16
                        or severity_number = 0 and severity in ('WARN', 'WARNING'))
           as warn_count,
       count(*) filter (is_exception) as exception_count
from written
group by all
