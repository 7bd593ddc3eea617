-- Views with the names and columns of the earlier systems, a schema for each, since names clash.
-- Whoever uses one of them puts its schema into the search_path. See docs/postgres.md.

-- An hour of the spans of a service: what the view automagik.metrics_hourly is of.
create table runfold.spans_hourly (
    hour timestamptz not null,
    project text,
    service text,
    span text,
    environment text,
    total_count bigint not null,
    error_count bigint not null,
    duration_count bigint not null,
    p50 double precision,
    p95 double precision,
    p99 double precision,
    avg double precision,
    max double precision,
    min double precision
);
create index spans_hourly_hour on runfold.spans_hourly (hour);

create index event_rows_late_cost on runfold.event_rows (run_id, (attributes ->> 'generation_id'))
    where name = 'cost.added';

-- The whole number that a text is, null where it is none.
create function runfold.whole(given text) returns bigint language sql immutable parallel safe as $$
    select case when given ~ '^-?[0-9]{1,18}$' then given::bigint
                when given ~ '^-?[0-9]{1,18}[.]0+$' then given::numeric::bigint end
$$;

create or replace view runfold.transcripts as
with parts as (
    select *, coalesce(runfold.whole(content ->> 'part'), 1) as part,
           case when jsonb_typeof(content -> 'messages') = 'array'
                then content -> 'messages' else '[]'::jsonb end as messages
    from runfold.transcript_rows
),
-- A transcript that was saved again counts as it was saved last: from the last first part on.
savings as (
    select run_id, topic_id, max(log_offset) filter (where part = 1) as first_offset
    from parts group by run_id, topic_id
)
select p.run_id,
       coalesce((array_agg(p.session_id order by p.log_offset desc)
                 filter (where p.session_id is not null))[1], max(r.session_id)) as session_id,
       max(r.agent_name) as agent_name, max(r.project) as project,
       max(p.occurred_at) as saved_at,
       sum(jsonb_array_length(p.messages))::bigint as messages,
       jsonb_path_query_array(jsonb_agg(p.messages order by p.part), '$[*][*]') as transcript
from parts as p
join savings as s on s.run_id = p.run_id and s.topic_id = p.topic_id
                     and p.log_offset >= s.first_offset
left join runfold.run_rows as r on r.run_id = p.run_id
group by p.run_id, p.topic_id;

-- A number that is one for all rows of a log.
create function runfold.row_id(partition integer, log_offset bigint) returns bigint
language sql immutable parallel safe as $$ select log_offset * 4096 + partition $$;

-- Local Telemetry Platform ------------------------------------------------------------------------

create schema if not exists local_telemetry;

create or replace function local_telemetry.text_of(moment timestamptz) returns text
language sql immutable parallel safe as $$
    select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00'
$$;

create or replace view local_telemetry.agent_runs as
select runfold.row_id(partition, first_offset) as id,
       attributes ->> 'event_id' as event_id,
       -- Of several runs that shared an id, all but the first got another one.
       regexp_replace(run_id, '~[0-9a-f]{8}$', '') as run_id,
       7 as schema_version,
       coalesce(attributes ->> 'created_at', local_telemetry.text_of(first_seen_at)) as created_at,
       coalesce(attributes ->> 'updated_at', local_telemetry.text_of(last_seen_at)) as updated_at,
       coalesce(attributes ->> 'start_time', local_telemetry.text_of(started_at)) as start_time,
       coalesce(attributes ->> 'end_time', attributes ->> 'reported_end_time',
                local_telemetry.text_of(ended_at)) as end_time,
       agent_name, agent_owner, job_type, recorded_status as status,
       attributes ->> 'product' as product,
       attributes ->> 'product_family' as product_family,
       attributes ->> 'platform' as platform,
       attributes ->> 'subdomain' as subdomain,
       attributes ->> 'website' as website,
       attributes ->> 'website_section' as website_section,
       attributes ->> 'item_name' as item_name,
       coalesce(items_discovered, 0) as items_discovered,
       coalesce(items_succeeded, 0) as items_succeeded,
       coalesce(items_failed, 0) as items_failed,
       coalesce(items_skipped, 0) as items_skipped,
       case when ended_at is null then 0 else floor(duration_ms)::bigint end as duration_ms,
       attributes ->> 'input_summary' as input_summary,
       attributes ->> 'output_summary' as output_summary,
       attributes ->> 'source_ref' as source_ref,
       attributes ->> 'target_ref' as target_ref,
       error_message as error_summary,
       attributes ->> 'error_details' as error_details,
       git_repo, git_branch, git_commit_hash,
       attributes ->> 'git_run_tag' as git_run_tag,
       git_commit_source, git_commit_author, git_commit_timestamp, host, environment, trigger_type,
       attributes ->> 'metrics_json' as metrics_json,
       attributes ->> 'context_json' as context_json,
       case when attributes ->> 'api_posted' in ('true', '1') then 1 else 0 end as api_posted,
       attributes ->> 'api_posted_at' as api_posted_at,
       coalesce(runfold.whole(attributes ->> 'api_retry_count'), 0) as api_retry_count,
       attributes ->> 'insight_id' as insight_id,
       parent_run_id
from runfold.run_rows
where attributes ? 'event_id';

create or replace view local_telemetry.run_events as
select runfold.row_id(e.partition, e.log_offset) as id,
       regexp_replace(e.run_id, '~[0-9a-f]{8}$', '') as run_id,
       coalesce(e.name, e.event_type) as event_type,
       local_telemetry.text_of(e.occurred_at) as "timestamp",
       e.attributes::text as payload_json
from runfold.event_rows as e join runfold.run_rows as r using (run_id)
where e.event_type = 'custom' and r.attributes ? 'event_id';

create or replace view local_telemetry.commits as
select distinct on (git_commit_hash)
       git_commit_hash as commit_hash,
       regexp_replace(run_id, '~[0-9a-f]{8}$', '') as run_id,
       agent_name, git_repo as repo, git_branch as branch,
       git_commit_timestamp as commit_date, git_commit_author as author,
       null::text as message, null::integer as files_changed, null::integer as insertions,
       null::integer as deletions,
       local_telemetry.text_of(last_seen_at) as created_at
from runfold.run_rows
where git_commit_hash is not null
order by git_commit_hash, last_seen_at desc;

-- Agent Framework Telemetry -----------------------------------------------------------------------

create schema if not exists agent_framework;

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
       runfold.whole(e.attributes ->> 'prompt_tokens') as prompt_tokens,
       runfold.whole(e.attributes ->> 'completion_tokens') as completion_tokens,
       runfold.whole(e.attributes ->> 'total_tokens') as total_tokens,
       runfold.whole(e.attributes ->> 'cached_tokens') as cached_tokens,
       runfold.whole(e.attributes ->> 'reasoning_tokens') as reasoning_tokens,
       -- A cost may come later, for a generation; it counts once, where the event has none.
       coalesce(case when jsonb_typeof(e.attributes -> 'cost') = 'number'
                     then (e.attributes ->> 'cost')::numeric(20, 8) end, late.cost) as cost,
       e.attributes ->> 'client_version' as client_version,
       e.attributes ->> 'generation_id' as generation_id,
       0 as cost_fetch_retries
from runfold.event_rows as e
left join lateral (
    select l.cost_usd::numeric(20, 8) as cost
    from runfold.event_rows as l
    where l.name = 'cost.added' and l.run_id = e.run_id
          and l.attributes ->> 'generation_id' = e.attributes ->> 'generation_id'
    order by l.log_offset
    limit 1
) as late on true
where e.family = 'agent_framework' and e.attributes ? 'event_type';

create or replace view agent_framework.session_transcripts as
with saved as (
    select t.*, row_number() over (partition by t.session_id
                                   order by t.recorded_at, t.log_offset) as nth,
           row_number() over (partition by t.session_id
                              order by t.recorded_at desc, t.log_offset desc) as nth_last
    from runfold.transcript_rows as t join runfold.run_rows as r using (run_id)
    where r.job_type = 'agent_framework' and t.session_id is not null
)
select runfold.row_id(first.partition, first.log_offset) as id,
       first.host as host_id, first.session_id,
       coalesce(last.content -> 'messages', '[]'::jsonb) as transcript_data,
       last.content -> 'message_counts' as message_counts,
       first.recorded_at as created_at, last.recorded_at as updated_at
from saved as first join saved as last using (session_id)
where first.nth = 1 and last.nth_last = 1;

-- Keys are in Kafka, as digests, and are not copied to where dashboards read: the table is empty.
create table if not exists agent_framework.api_keys (
    id serial primary key,
    key_hash varchar(128) unique not null,
    description text,
    created_at timestamptz default now(),
    last_used_at timestamptz,
    is_active boolean default true
);

-- Automagik ---------------------------------------------------------------------------------------

create schema if not exists automagik;

create or replace view automagik.traces as
select coalesce(e.trace_id, '') as trace_id, coalesce(e.span_id, '') as span_id,
       coalesce(e.parent_span_id, '') as parent_span_id,
       e.occurred_at as "timestamp",
       (extract(epoch from e.occurred_at) * 1000000000)::bigint as timestamp_ns,
       coalesce(round(e.duration_ms), 0)::bigint as duration_ms,
       coalesce(e.attributes ->> 'service.name', e.project, e.agent_name, '') as service_name,
       coalesce(e.name, '') as span_name,
       coalesce(e.attributes ->> 'span.kind', 'INTERNAL') as span_kind,
       case when e.event_type = 'error.raised' or e.error_type is not null
                 or lower(e.status) in ('failure', 'failed', 'error', 'timeout')
            then 'ERROR' else 'OK' end as status_code,
       coalesce(e.error_message, '') as status_message,
       coalesce(e.project, e.agent_name, '') as project_name,
       coalesce(e.agent_version, e.attributes ->> 'system.project_version', '') as project_version,
       coalesce(e.environment, 'production') as environment,
       coalesce(e.host, '') as hostname,
       e.attributes,
       coalesce(e.user_id, '') as user_id, coalesce(e.session_id, '') as session_id,
       coalesce(e.attributes ->> 'system.os', '') as os_type,
       coalesce(e.attributes ->> 'system.os_version', '') as os_version,
       case when e.attributes ? 'system.python_version' then 'python'
            when e.attributes ? 'system.node_version' then 'node' else '' end as runtime_name,
       coalesce(e.attributes ->> 'system.python_version',
                e.attributes ->> 'system.node_version', '') as runtime_version,
       ''::text as cloud_provider, ''::text as cloud_region, ''::text as cloud_availability_zone,
       coalesce(e.attributes ->> 'otel.scope.name', 'automagik-telemetry')
           as instrumentation_library_name,
       coalesce(e.attributes ->> 'otel.scope.version', '') as instrumentation_library_version
from runfold.event_rows as e
where e.event_type = 'span.ended'
      or (e.event_type in ('custom', 'error.raised') and e.attributes ? 'system.project_name');

create or replace view automagik.metrics as
select e.event_id as metric_id, coalesce(e.name, '') as metric_name,
       case lower(coalesce(e.attributes ->> 'metric_type', 'gauge'))
            when 'counter' then 'SUM' when 'sum' then 'SUM'
            when 'histogram' then 'HISTOGRAM'
            when 'exponential_histogram' then 'EXPONENTIAL_HISTOGRAM'
            when 'summary' then 'SUMMARY' else 'GAUGE' end as metric_type,
       coalesce(e.unit, '') as metric_unit,
       e.occurred_at as "timestamp",
       (extract(epoch from e.occurred_at) * 1000000000)::bigint as timestamp_ns,
       -- Panels read value_double: it has every number, also a whole one.
       e.value as value_double,
       case when e.value = round(e.value) and abs(e.value) < 9e15
            then e.value::bigint else 0 end as value_int,
       coalesce(e.attributes ->> 'service.name', e.project, e.agent_name, '') as service_name,
       coalesce(e.project, e.agent_name, '') as project_name,
       coalesce(e.agent_version, '') as project_version,
       coalesce(e.environment, 'production') as environment,
       coalesce(e.host, '') as hostname, e.attributes,
       coalesce(e.user_id, '') as user_id, coalesce(e.session_id, '') as session_id
from runfold.event_rows as e
where e.event_type = 'metric.recorded' and e.value is not null;

create or replace view automagik.logs as
select e.event_id as log_id, coalesce(e.trace_id, '') as trace_id,
       coalesce(e.span_id, '') as span_id,
       e.occurred_at as "timestamp",
       (extract(epoch from e.occurred_at) * 1000000000)::bigint as timestamp_ns,
       e.recorded_at as observed_timestamp,
       upper(coalesce(e.attributes ->> 'severity_text', e.name, 'INFO')) as severity_text,
       case when e.attributes ->> 'severity_number' ~ '^[0-9]{1,2}$'
            then (e.attributes ->> 'severity_number')::integer else 0 end as severity_number,
       coalesce(e.attributes ->> 'message', e.attributes ->> 'body', '') as body,
       coalesce(e.attributes ->> 'service.name', e.project, e.agent_name, '') as service_name,
       coalesce(e.project, e.agent_name, '') as project_name,
       coalesce(e.agent_version, '') as project_version,
       coalesce(e.environment, 'production') as environment,
       coalesce(e.host, '') as hostname, e.attributes,
       coalesce(e.user_id, '') as user_id, coalesce(e.session_id, '') as session_id,
       case when e.error_type is not null then 1 else 0 end as is_exception,
       coalesce(e.error_type, '') as exception_type,
       coalesce(e.error_message, '') as exception_message
from runfold.event_rows as e
where e.event_type = 'log.written';

create or replace view automagik.metrics_hourly as
select hour as "timestamp", project as project_name, service as service_name, span as span_name,
       environment, total_count, error_count,
       p50 as p50_duration_ms, p95 as p95_duration_ms, p99 as p99_duration_ms,
       avg as avg_duration_ms, max as max_duration_ms, min as min_duration_ms
from runfold.spans_hourly;
