-- What `runfold export` keeps of the lake, and how far it has come. See docs/postgres.md.
-- Tables called …_rows are filled by the export; ask the views beside them.

create table runfold.watermarks (
    kind text not null,
    topic_id text not null,
    partition integer not null,
    -- The offsets that are exported. A multirange, since a hole of the lake may be filled later.
    exported int8multirange not null,
    next_offset bigint not null,
    exported_at timestamptz not null default now(),
    primary key (kind, topic_id, partition)
);

create table runfold.export_state (
    name text primary key,
    value text not null
);

-- Hours and days whose figures are to be computed again, as events of them came.
create table runfold.stale_buckets (
    what text not null,
    bucket timestamptz not null,
    primary key (what, bucket)
);

-- JSON that PostgreSQL does not take (it has no NUL character, and no halves of characters) is kept
-- with these replaced, or as a text under the key "unreadable".
-- In PL/pgSQL, since in a plain expression a constant would be cast before it is asked about.
create function runfold.json_of(given text) returns jsonb language plpgsql immutable parallel safe
as $$
declare
    mended text := replace(given, '\u0000', '\ufffd');
begin
    if given is null then
        return null;
    elsif pg_input_is_valid(given, 'jsonb') then
        return given::jsonb;
    elsif pg_input_is_valid(mended, 'jsonb') then
        return mended::jsonb;
    end if;
    return jsonb_build_object('unreadable', given);
end
$$;

create table runfold.run_rows (
    run_id text primary key,
    parent_run_id text,
    session_id text,
    trace_id text,
    agent_name text,
    agent_owner text,
    agent_version text,
    job_type text,
    trigger_type text,
    project text,
    environment text,
    host text,
    user_id text,
    provider text,
    model text,
    recorded_status text not null,
    started_at timestamptz,
    ended_at timestamptz,
    duration_ms double precision,
    events bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cache_read_tokens bigint not null,
    cache_write_tokens bigint not null,
    reasoning_tokens bigint not null,
    total_tokens bigint not null,
    cost_nano_usd bigint not null,
    -- These three are computed here, when a run or one below it changed.
    tree_cost_nano_usd numeric not null default 0,
    children bigint not null default 0,
    open_children bigint not null default 0,
    llm_calls bigint not null,
    tools_started bigint not null,
    tools_ended bigint not null,
    tools_failed bigint not null,
    errors bigint not null,
    decisions bigint not null,
    heartbeats bigint not null,
    unknown_events bigint not null,
    missing_events bigint not null,
    error_type text,
    error_message text,
    last_tool text,
    last_tool_open boolean,
    items_discovered bigint,
    items_succeeded bigint,
    items_failed bigint,
    items_skipped bigint,
    git_repo text,
    git_branch text,
    git_commit_hash text,
    git_commit_source text,
    git_commit_author text,
    git_commit_timestamp text,
    metrics jsonb,
    attributes jsonb,
    first_seen_at timestamptz,
    last_seen_at timestamptz,
    first_recorded_at timestamptz,
    last_recorded_at timestamptz,
    topic_id text not null,
    partition integer not null,
    first_offset bigint not null,
    last_offset bigint not null
);
create index run_rows_started on runfold.run_rows (started_at desc);
create index run_rows_agent on runfold.run_rows (agent_name, started_at desc);
create index run_rows_parent on runfold.run_rows (parent_run_id) where parent_run_id is not null;
create index run_rows_session on runfold.run_rows (session_id) where session_id is not null;
create index run_rows_old_id on runfold.run_rows ((attributes ->> 'event_id'))
    where attributes ? 'event_id';

-- A run that is open and was not heard of for too long is orphaned, as in the lake's view `runs`.
create function runfold.status_after(recorded_status text, heartbeats bigint, silent_ms bigint)
returns text language sql immutable as $$
    select case when recorded_status in ('pending', 'running')
                     and silent_ms > case when heartbeats > 0 then 90000 else 3600000 end
                then 'orphaned' else recorded_status end
$$;

create function runfold.silence_ms(recorded_status text, last_recorded_at timestamptz)
returns bigint language sql stable as $$
    select case when recorded_status in ('pending', 'running')
                then greatest(floor(extract(epoch from now()) * 1000)
                              - floor(extract(epoch from last_recorded_at) * 1000), 0)::bigint end
$$;

create view runfold.runs as
select run_id, parent_run_id, agent_name, project,
       runfold.status_after(recorded_status, heartbeats,
                            runfold.silence_ms(recorded_status, last_recorded_at)) as status,
       recorded_status,
       runfold.silence_ms(recorded_status, last_recorded_at) as silent_ms,
       started_at, ended_at, duration_ms, events,
       input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
       total_tokens,
       cost_nano_usd / 1e9::double precision as cost_usd,
       tree_cost_nano_usd::double precision / 1e9::double precision as tree_cost_usd,
       children, open_children, llm_calls, tools_started, tools_ended, tools_failed, errors,
       decisions, heartbeats, unknown_events, error_type, error_message, last_tool, last_tool_open,
       missing_events, session_id, trace_id, agent_owner, agent_version, job_type, trigger_type,
       environment, host, user_id, provider, model, items_discovered, items_succeeded,
       items_failed, items_skipped, git_repo, git_branch, git_commit_hash, git_commit_source,
       git_commit_author, git_commit_timestamp, first_seen_at, last_seen_at, first_recorded_at,
       last_recorded_at, first_offset, last_offset, metrics, attributes, topic_id, partition
from runfold.run_rows;

create table runfold.event_rows (
    topic_id text not null,
    partition integer not null,
    log_offset bigint not null,
    recorded_at timestamptz not null,
    occurred_at timestamptz not null,
    event_id text not null,
    run_id text not null,
    event_type text not null,
    name text,
    -- Which earlier system's: such events are kept however old they are.
    family text,
    parent_run_id text,
    session_id text,
    trace_id text,
    span_id text,
    parent_span_id text,
    agent_name text,
    agent_owner text,
    agent_version text,
    job_type text,
    trigger_type text,
    project text,
    environment text,
    host text,
    user_id text,
    status text,
    error_type text,
    error_message text,
    duration_ms double precision,
    tool_name text,
    decision text,
    decision_reason text,
    provider text,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    cost_usd double precision,
    items_discovered bigint,
    items_succeeded bigint,
    items_failed bigint,
    items_skipped bigint,
    git_repo text,
    git_branch text,
    git_commit_hash text,
    git_commit_source text,
    git_commit_author text,
    git_commit_timestamp text,
    value double precision,
    unit text,
    attributes jsonb,
    primary key (topic_id, partition, log_offset)
);
create index event_rows_run on runfold.event_rows (run_id, occurred_at);
create index event_rows_occurred on runfold.event_rows using brin (occurred_at);
create index event_rows_recorded on runfold.event_rows using brin (recorded_at);
create index event_rows_type on runfold.event_rows (event_type, occurred_at);
create index event_rows_family on runfold.event_rows (family, occurred_at)
    where family is not null;

create view runfold.events_recent as
select e.topic_id, e.partition, e.log_offset, e.recorded_at, e.occurred_at, e.event_id, e.run_id,
       e.event_type, e.name,
       coalesce(e.agent_name, r.agent_name) as agent_name,
       coalesce(e.project, r.project) as project,
       e.parent_run_id, e.session_id, e.trace_id, e.span_id, e.parent_span_id, e.agent_owner,
       e.agent_version, e.job_type, e.trigger_type, e.environment, e.host, e.user_id, e.status,
       e.error_type, e.error_message, e.duration_ms, e.tool_name, e.decision, e.decision_reason,
       e.provider, e.model, e.input_tokens, e.output_tokens, e.cache_read_tokens,
       e.cache_write_tokens, e.reasoning_tokens, e.cost_usd, e.items_discovered,
       e.items_succeeded, e.items_failed, e.items_skipped, e.git_repo, e.git_branch,
       e.git_commit_hash, e.git_commit_source, e.git_commit_author, e.git_commit_timestamp,
       e.value, e.unit, e.attributes
from runfold.event_rows as e left join runfold.run_rows as r using (run_id);

create table runfold.error_rows (
    topic_id text not null,
    partition integer not null,
    log_offset bigint not null,
    recorded_at timestamptz not null,
    occurred_at timestamptz not null,
    run_id text not null,
    event_type text not null,
    agent_name text,
    project text,
    error_type text,
    error_message text,
    tool_name text,
    status text,
    primary key (topic_id, partition, log_offset)
);
create index error_rows_occurred on runfold.error_rows (occurred_at);
create index error_rows_run on runfold.error_rows (run_id);

create view runfold.errors as
select e.occurred_at, e.recorded_at, e.run_id,
       coalesce(e.agent_name, r.agent_name) as agent_name,
       coalesce(e.project, r.project) as project,
       e.event_type, e.error_type, e.error_message, e.tool_name, e.status,
       e.topic_id, e.partition, e.log_offset
from runfold.error_rows as e left join runfold.run_rows as r using (run_id);

create table runfold.transcript_rows (
    topic_id text not null,
    partition integer not null,
    log_offset bigint not null,
    recorded_at timestamptz not null,
    occurred_at timestamptz not null,
    run_id text not null,
    session_id text,
    host text,
    content jsonb,
    primary key (topic_id, partition, log_offset)
);
create index transcript_rows_run on runfold.transcript_rows (run_id, log_offset);

create view runfold.transcripts as
with parts as (
    select *, coalesce((content ->> 'part')::integer, 1) as part,
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

create table runfold.dead_letters (
    topic_id text not null,
    partition integer not null,
    log_offset bigint not null,
    recorded_at timestamptz,
    run_id text,
    event_id text,
    reason text not null,
    message text,
    primary key (topic_id, partition, log_offset)
);
create index dead_letters_recorded on runfold.dead_letters (recorded_at);

create table runfold.metrics_hourly (
    hour timestamptz not null,
    metric text not null,
    agent_name text,
    project text,
    unit text,
    count bigint not null,
    sum double precision not null,
    min double precision not null,
    max double precision not null,
    p50 double precision not null,
    p95 double precision not null,
    p99 double precision not null
);
create index metrics_hourly_hour on runfold.metrics_hourly (hour);
create index metrics_hourly_metric on runfold.metrics_hourly (metric, hour);

create table runfold.tools_daily (
    day date not null,
    tool_name text,
    agent_name text,
    project text,
    calls bigint not null,
    failed bigint not null,
    duration_count bigint not null,
    duration_ms_sum double precision,
    duration_ms_min double precision,
    duration_ms_max double precision,
    duration_ms_p50 double precision,
    duration_ms_p95 double precision,
    duration_ms_p99 double precision
);
create index tools_daily_day on runfold.tools_daily (day);

create table runfold.costs_daily (
    day date not null,
    agent_name text,
    project text,
    provider text,
    model text,
    llm_calls bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cache_read_tokens bigint not null,
    cache_write_tokens bigint not null,
    reasoning_tokens bigint not null,
    cost_usd double precision not null,
    tree_llm_calls bigint not null,
    tree_tokens bigint not null,
    tree_cost_usd double precision not null
);
create index costs_daily_day on runfold.costs_daily (day);

create table runfold.pipeline_health (
    checked_at timestamptz not null,
    topic_id text not null,
    records bigint not null,
    events bigint not null,
    duplicates bigint not null,
    dead_letters bigint not null,
    lost bigint not null,
    missing bigint not null,
    holes bigint not null,
    lag_records bigint,
    lake_recorded_at timestamptz,
    exported_recorded_at timestamptz,
    freshness_seconds double precision,
    primary key (checked_at, topic_id)
);
