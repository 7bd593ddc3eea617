-- Automagik's other rollups, and the columns of its metrics and logs that were not there.

create table runfold.points_5min (
    bucket timestamptz not null,
    project text not null,
    service text not null,
    metric text not null,
    metric_type text not null,
    environment text not null,
    count bigint not null,
    sum double precision not null,
    avg double precision not null,
    min double precision not null,
    max double precision not null,
    p50 double precision not null,
    p95 double precision not null,
    p99 double precision not null
);
create index points_5min_bucket on runfold.points_5min (bucket);

create table runfold.logs_hourly (
    hour timestamptz not null,
    project text not null,
    service text not null,
    environment text not null,
    severity text not null,
    severity_number integer not null,
    total_count bigint not null,
    error_count bigint not null,
    warn_count bigint not null,
    exception_count bigint not null
);
create index logs_hourly_hour on runfold.logs_hourly (hour);

-- What is here already is counted by the next export; what is older, by `runfold export --rebuild`.
insert into runfold.stale_buckets (what, bucket)
select distinct 'points_5min', date_bin('5 minutes', occurred_at, timestamptz '2000-01-01 00:00+00')
from runfold.event_rows
where event_type = 'metric.recorded' and recorded_at > now() - interval '7 days'
on conflict do nothing;
insert into runfold.stale_buckets (what, bucket)
select distinct 'logs_hourly', date_trunc('hour', occurred_at, 'UTC')
from runfold.event_rows
where event_type = 'log.written' and recorded_at > now() - interval '7 days'
on conflict do nothing;

-- Attributes may hold anything: what is no number is none, and no error of the whole question.
create function runfold.number_of(given text) returns double precision
language sql immutable parallel safe as $$
    select case when pg_input_is_valid(given, 'double precision') then given::double precision end
$$;
create function runfold.numbers_of(given jsonb) returns double precision[]
language sql immutable parallel safe as $$
    select coalesce(array_agg(runfold.number_of(each #>> '{}') order by place), '{}')
    from jsonb_array_elements(case when jsonb_typeof(given) = 'array' then given else '[]' end)
         with ordinality as listed (each, place)
$$;

create or replace view automagik.metrics as
select e.event_id as metric_id, coalesce(e.name, '') as metric_name, kind.metric_type,
       coalesce(e.unit, '') as metric_unit,
       e.occurred_at as "timestamp",
       coalesce(runfold.whole(e.attributes ->> 'time_unix_nano'),
                (extract(epoch from e.occurred_at) * 1000000000)::bigint) as timestamp_ns,
       -- Panels read value_double: it has every number, also a whole one.
       e.value as value_double,
       case when e.value = round(e.value) and abs(e.value) < 9e15
            then e.value::bigint else 0 end as value_int,
       coalesce(e.attributes ->> 'service.name', e.project, e.agent_name, '') as service_name,
       coalesce(e.project, e.agent_name, '') as project_name,
       coalesce(e.agent_version, '') as project_version,
       coalesce(e.environment, 'production') as environment,
       coalesce(e.host, '') as hostname, e.attributes,
       coalesce(e.user_id, '') as user_id, coalesce(e.session_id, '') as session_id,
       coalesce(e.attributes ->> 'description', '') as metric_description,
       e.occurred_at as time_window_start, e.occurred_at as time_window_end,
       case when e.attributes ->> 'metric_type' = 'counter' or e.attributes ->> 'monotonic' = 'true'
            then 1 else 0 end as is_monotonic,
       case when e.attributes ->> 'metric_type' = 'counter' then 'DELTA'
            else upper(coalesce(e.attributes ->> 'temporality', 'unspecified')) end
           as aggregation_temporality,
       -- A sample that a client sent by itself is a histogram of one.
       case when kind.is_histogram
            then coalesce(runfold.whole(e.attributes ->> 'count'), 1) else 0 end as histogram_count,
       case when kind.is_histogram then e.value else 0 end as histogram_sum,
       case when kind.is_histogram
            then coalesce(runfold.number_of(e.attributes ->> 'min'),
                          case when not e.attributes ? 'count' then e.value end, 0)
            else 0 end as histogram_min,
       case when kind.is_histogram
            then coalesce(runfold.number_of(e.attributes ->> 'max'),
                          case when not e.attributes ? 'count' then e.value end, 0)
            else 0 end as histogram_max,
       runfold.numbers_of(e.attributes -> 'bucket_counts') as histogram_bucket_counts,
       runfold.numbers_of(e.attributes -> 'explicit_bounds') as histogram_explicit_bounds,
       case when kind.metric_type = 'SUMMARY'
            then coalesce(runfold.whole(e.attributes ->> 'count'), 0) else 0 end as summary_count,
       case when kind.metric_type = 'SUMMARY' then e.value else 0 end as summary_sum,
       case when kind.metric_type = 'SUMMARY'
            then coalesce(e.attributes -> 'quantiles', '{}') else '{}' end as quantile_values,
       ''::text as service_namespace, ''::text as service_instance_id,
       coalesce(machine.os, '') as os_type, coalesce(machine.os_version, '') as os_version,
       case when machine.python is not null then 'python'
            when machine.node is not null then 'node' else '' end as runtime_name,
       coalesce(machine.python, machine.node, '') as runtime_version,
       ''::text as cloud_provider, ''::text as cloud_region, ''::text as cloud_availability_zone,
       case when r.job_type = 'automagik' then 'automagik-telemetry' else '' end
           as instrumentation_library_name,
       ''::text as instrumentation_library_version, ''::text as schema_url
from runfold.event_rows as e
left join runfold.run_rows as r using (run_id)
cross join lateral (
    select case lower(coalesce(e.attributes ->> 'metric_type', 'gauge'))
                when 'counter' then 'SUM' when 'sum' then 'SUM'
                when 'histogram' then 'HISTOGRAM'
                when 'exponential_histogram' then 'EXPONENTIAL_HISTOGRAM'
                when 'summary' then 'SUMMARY' else 'GAUGE' end as metric_type,
           lower(e.attributes ->> 'metric_type') in ('histogram', 'exponential_histogram')
               as is_histogram
) as kind
-- Points and logs do not say on what they were made; their run does.
cross join lateral (
    select coalesce(e.attributes ->> 'system.os', r.attributes ->> 'system.os') as os,
           coalesce(e.attributes ->> 'system.os_version', r.attributes ->> 'system.os_version')
               as os_version,
           coalesce(e.attributes ->> 'system.python_version',
                    r.attributes ->> 'system.python_version') as python,
           coalesce(e.attributes ->> 'system.node_version',
                    r.attributes ->> 'system.node_version') as node
) as machine
where e.event_type = 'metric.recorded' and e.value is not null;

create or replace view automagik.logs as
select e.event_id as log_id, coalesce(e.trace_id, '') as trace_id,
       coalesce(e.span_id, '') as span_id,
       e.occurred_at as "timestamp",
       coalesce(runfold.whole(e.attributes ->> 'time_unix_nano'),
                (extract(epoch from e.occurred_at) * 1000000000)::bigint) as timestamp_ns,
       e.recorded_at as observed_timestamp,
       upper(coalesce(e.attributes ->> 'severity_text', e.name, 'INFO')) as severity_text,
       case when e.attributes ->> 'severity_number' ~ '^[0-9]{1,2}$'
            then (e.attributes ->> 'severity_number')::integer else 0 end as severity_number,
       said.body,
       coalesce(e.attributes ->> 'service.name', e.project, e.agent_name, '') as service_name,
       coalesce(e.project, e.agent_name, '') as project_name,
       coalesce(e.agent_version, '') as project_version,
       coalesce(e.environment, 'production') as environment,
       coalesce(e.host, '') as hostname, e.attributes,
       coalesce(e.user_id, '') as user_id, coalesce(e.session_id, '') as session_id,
       case when coalesce(e.error_type, e.attributes ->> 'exception.type') is not null
            then 1 else 0 end as is_exception,
       coalesce(e.error_type, e.attributes ->> 'exception.type', '') as exception_type,
       coalesce(e.error_message, e.attributes ->> 'exception.message', '') as exception_message,
       coalesce(e.attributes ->> 'exception.stacktrace', '') as exception_stacktrace,
       (extract(epoch from e.recorded_at) * 1000000000)::bigint as observed_timestamp_ns,
       case when said.body = '' then 'EMPTY'
            when pg_input_is_valid(said.body, 'jsonb') then 'JSON' else 'STRING' end as body_type,
       ''::text as service_namespace, ''::text as service_instance_id,
       coalesce(machine.os, '') as os_type, coalesce(machine.os_version, '') as os_version,
       case when machine.python is not null then 'python'
            when machine.node is not null then 'node' else '' end as runtime_name,
       coalesce(machine.python, machine.node, '') as runtime_version,
       ''::text as cloud_provider, ''::text as cloud_region, ''::text as cloud_availability_zone,
       coalesce(e.attributes ->> 'logger',
                case when r.job_type = 'automagik' then 'automagik-telemetry' end, '')
           as instrumentation_library_name,
       ''::text as instrumentation_library_version, ''::text as schema_url,
       coalesce(e.attributes ->> 'code.file.path', e.attributes ->> 'code.filepath', '')
           as source_file,
       coalesce(runfold.whole(e.attributes ->> 'code.line.number'),
                runfold.whole(e.attributes ->> 'code.lineno'), 0) as source_line,
       coalesce(e.attributes ->> 'code.function.name', e.attributes ->> 'code.function', '')
           as source_function,
       0 as flags
from runfold.event_rows as e
left join runfold.run_rows as r using (run_id)
cross join lateral (
    select coalesce(e.attributes ->> 'message', e.attributes ->> 'body', '') as body
) as said
cross join lateral (
    select coalesce(e.attributes ->> 'system.os', r.attributes ->> 'system.os') as os,
           coalesce(e.attributes ->> 'system.os_version', r.attributes ->> 'system.os_version')
               as os_version,
           coalesce(e.attributes ->> 'system.python_version',
                    r.attributes ->> 'system.python_version') as python,
           coalesce(e.attributes ->> 'system.node_version',
                    r.attributes ->> 'system.node_version') as node
) as machine
where e.event_type = 'log.written';

create view automagik.metrics_5min as
select bucket as "timestamp", project as project_name, service as service_name,
       metric as metric_name, metric_type, environment, count, sum as sum_value, avg as avg_value,
       min as min_value, max as max_value, p50 as p50_value, p95 as p95_value, p99 as p99_value
from runfold.points_5min;

-- What was written is asked of the recent events, so that it is gone when they are.
create view automagik.logs_error_summary as
select h.hour as "timestamp", h.project as project_name, h.service as service_name, h.environment,
       h.severity as severity_text, h.severity_number, h.total_count as total_logs,
       h.error_count as error_logs, h.warn_count as warn_logs, h.exception_count as exception_logs,
       array(
           select l.body from automagik.logs as l
           where l."timestamp" >= h.hour and l."timestamp" < h.hour + interval '1 hour'
                 and l.project_name = h.project and l.service_name = h.service
                 and l.environment = h.environment and l.severity_text = h.severity
                 and l.severity_number = h.severity_number
           order by l."timestamp", l.log_id
           limit 10
       ) as sample_messages
from runfold.logs_hourly as h;

create view automagik.trace_logs_correlation as
select t.trace_id, t.span_id, t.service_name, t.span_name, t."timestamp" as trace_timestamp,
       t.status_code, t.project_name, t.environment, l.log_id, l."timestamp" as log_timestamp,
       l.severity_text, l.severity_number, l.body as log_message, l.is_exception, l.exception_type,
       l.exception_message
from automagik.traces as t join automagik.logs as l using (trace_id)
where l.trace_id <> '';

-- Local Telemetry's own list of what was done to its tables.
create view local_telemetry.schema_migrations as
select 7 as version, local_telemetry.text_of(applied_at) as applied_at,
       'the tables of version 7, as views'::text as description
from runfold.schema_versions where version = 2;
