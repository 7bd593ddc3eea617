-- The lake of runfold as views. Plain DuckDB reads them, with nothing of runfold running:
--   duckdb -cmd ".read views.sql"
-- Every row of the log is seen once, also where two files hold the same offsets: a file is read
-- from the first offset on that no file before it reaches.
-- The columns are spelt out, so that opening a view opens no file: a column that an older file
-- has not got is null.

-- Files are merged, and later removed, while queries run. So which files are read is decided before
-- DuckDB lists those that it scans: it binds from left to right, and `read_blob` lists all when it is
-- bound (`glob` goes on listing after the scan has). And the join tells the scan which files to open,
-- so that a file which was merged into another one is left alone. DuckDB does so where it takes the
-- files for the smaller side, which to it an unnested list always is, and for up to so many of them
-- (it takes time for each pair of a file that is listed and one that is read). Beyond, a query may
-- fail because a file has been removed, and can be repeated.
set dynamic_or_filter_threshold = 500;

create or replace macro lake_files_to_read(pattern) as table
with named as (
    select filename as file,
           regexp_extract(filename, '([^/]+)/(events/[^/]+/[^/]+|states)/[^/]+$', 1) as topic_id,
           regexp_extract(filename,
                          '/p([0-9]{{2,9}})-([0-9]{{12,18}})-([0-9]{{12,18}})\.parquet$',
                          ['partition', 'first', 'last']) as place
    from read_blob(pattern)
),
placed as (
    select file, topic_id, place.partition::int as partition,
           place.first::bigint as first, place.last::bigint as last
    from named where place.last <> ''
),
swept as (
    select *, max(last) over (partition by topic_id, partition order by first, last desc, file
                              rows between unbounded preceding and 1 preceding) as covered
    from placed
),
chosen as (
    select list({{file: file, topic_id: topic_id, partition: partition,
                 first: greatest(first, coalesce(covered + 1, first)), last: last}}) as files
    from swept where covered is null or last > covered
)
select * from (select unnest(files, max_depth := 2) from chosen) where first <= last;

create or replace macro lake_event_paths() as '{root}/{topics}/events/date=*/hour=*/*.parquet';
create or replace macro lake_state_paths() as '{states_root}/{topics}/states/*.parquet';

create or replace view lake_event_files as from lake_files_to_read(lake_event_paths());
create or replace view lake_state_files as from lake_files_to_read(lake_state_paths());

create or replace view lake_rows as
select rows.* exclude (file), files.topic_id,
       regexp_extract(rows.file, '/date=([0-9-]+)/hour=', 1)::date as date,
       (epoch_us(rows.recorded_at) // 3600000000 % 24)::int as hour
from lake_event_files as files
join read_parquet(lake_event_paths(), filename = 'file', schema = map {{
{event_columns}
}}) as rows
on rows.file = files.file and rows."offset" >= files.first
where regexp_matches(rows.file, '/p[0-9]{{2,9}}-[0-9]{{12,18}}-[0-9]{{12,18}}\.parquet$');

create or replace view events as
select * exclude (dead_letter_reason, dead_letter_message)
from lake_rows where dead_letter_reason is null;

create or replace view dead_letters as
select topic_id, partition, "offset", recorded_at, run_id, event_id,
       dead_letter_reason as reason, dead_letter_message as message
from lake_rows where dead_letter_reason is not null;

create or replace view lake_states as
with newest_of_a_log as (
    select rows.* exclude (file), files.topic_id
    from lake_state_files as files
    join read_parquet(lake_state_paths(), filename = 'file', schema = map {{
{state_columns}
    }}) as rows
    on rows.file = files.file
    where regexp_matches(rows.file, '/p[0-9]{{2,9}}-[0-9]{{12,18}}-[0-9]{{12,18}}\.parquet$')
    qualify row_number() over (partition by topic_id, run_id order by last_offset desc) = 1
)
select * from newest_of_a_log
qualify row_number() over (partition by run_id
                           order by last_recorded_at desc, topic_id desc) = 1;

create or replace macro is_open(recorded_status) as recorded_status in ('pending', 'running');

-- A run that is open and was not heard of for too long is orphaned: its process is gone. A run that
-- has sent heartbeats goes on sending them while it lives; one that never did may think for longer.
-- As this is said when it is asked for, a late event brings a run back.
create or replace macro status_after(recorded_status, heartbeats, silent_ms) as
    case when is_open(recorded_status)
              and silent_ms > if(heartbeats > 0, {with_heartbeats_ms}, {without_heartbeats_ms})
         then 'orphaned' else recorded_status end;

create or replace macro silence_ms(recorded_status, last_recorded_at, ts) as
    case when is_open(recorded_status)
         then greatest(epoch_ms(ts) - epoch_ms(last_recorded_at), 0) end;

create or replace view runs as
with recursive sub_runs as materialized (
    select run_id, parent_run_id, cost_nano_usd, is_open(status) as is_open
    from lake_states where parent_run_id is not null and parent_run_id <> run_id
),
ancestry as (
    select run_id as descendant, parent_run_id as ancestor from sub_runs
    union
    select ancestry.descendant, sub_runs.parent_run_id
    from ancestry join sub_runs on sub_runs.run_id = ancestry.ancestor
),
below as (
    select ancestry.ancestor, sum(sub_runs.cost_nano_usd) as cost_nano_usd
    from ancestry join sub_runs on sub_runs.run_id = ancestry.descendant
    where ancestry.descendant <> ancestry.ancestor
    group by ancestry.ancestor
),
children as (
    select parent_run_id, count(*) as children, count(*) filter (is_open) as open_children
    from sub_runs group by parent_run_id
)
select states.run_id, states.parent_run_id, states.agent_name, states.project,
       status_after(states.status, states.heartbeats,
                    silence_ms(states.status, states.last_recorded_at, now())) as status,
       states.status as recorded_status,
       silence_ms(states.status, states.last_recorded_at, now()) as silent_ms,
       coalesce(states.started_at, states.first_seen_at) as started_at, states.ended_at,
       (epoch_us(coalesce(states.ended_at, states.last_seen_at))
        - epoch_us(coalesce(states.started_at, states.first_seen_at))) / 1000.0 as duration_ms,
       states.events,
       states.input_tokens, states.output_tokens, states.cache_read_tokens,
       states.cache_write_tokens, states.reasoning_tokens,
       states.input_tokens + states.output_tokens + states.cache_read_tokens
           + states.cache_write_tokens as total_tokens,
       states.cost_nano_usd / 1e9 as cost_usd,
       (states.cost_nano_usd + coalesce(below.cost_nano_usd, 0)) / 1e9 as tree_cost_usd,
       coalesce(children.children, 0) as children,
       coalesce(children.open_children, 0) as open_children,
       states.llm_calls, states.tools_started, states.tools_ended, states.tools_failed,
       states.errors, states.decisions, states.heartbeats, states.unknown_events,
       coalesce(states.error_type, states.last_error_type) as error_type,
       coalesce(states.error_message, states.last_error_message) as error_message,
       states.last_tool, states.last_tool_open,
       coalesce(list_sum(list_transform(states.seen, lambda each:
           each.bounds[-1] - list_sum(list_transform(range(1, len(each.bounds), 2), lambda i:
               each.bounds[i + 1] - each.bounds[i] + 1)))), 0)::bigint as missing_events,
       states.* exclude (run_id, parent_run_id, agent_name, project, status, started_at, ended_at,
                         events, input_tokens, output_tokens, cache_read_tokens,
                         cache_write_tokens, reasoning_tokens, cost_nano_usd, llm_calls,
                         tools_started, tools_ended, tools_failed, errors, decisions, heartbeats,
                         unknown_events, error_type, error_message, last_tool, last_tool_open,
                         stamps, seen, seen_hashes)
from lake_states as states
left join below on below.ancestor = states.run_id
left join children on children.parent_run_id = states.run_id;

create or replace view tools as
with named as (
    select *, coalesce('span ' || span_id, 'tool ' || coalesce(tool_name, '')) as call
    from events where event_type in ('tool.started', 'tool.ended')
),
calls as materialized (
    select *, row_number() over (partition by topic_id, run_id, call, event_type
                                 order by occurred_at, "offset") as nth
    from named
),
started as (select * from calls where event_type = 'tool.started'),
ended as (select * from calls where event_type = 'tool.ended')
select coalesce(ended.run_id, started.run_id) as run_id,
       coalesce(ended.tool_name, started.tool_name) as tool_name,
       case when ended.run_id is null then 'running' else coalesce(ended.status, 'success') end
           as status,
       coalesce(started.occurred_at, ended.occurred_at) as started_at,
       ended.occurred_at as ended_at,
       coalesce(ended.duration_ms,
                (epoch_us(ended.occurred_at) - epoch_us(started.occurred_at)) / 1000.0)
           as duration_ms,
       ended.error_type, ended.error_message,
       coalesce(ended.attributes, started.attributes) as attributes,
       coalesce(ended.span_id, started.span_id) as span_id
from ended full join started using (topic_id, run_id, call, nth);

create or replace view llm_calls as
select run_id, event_id, occurred_at, provider, model, input_tokens, output_tokens,
       cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd, duration_ms, status,
       error_type, error_message, attributes, span_id
from events
where event_type = 'llm.called' or input_tokens is not null or output_tokens is not null;
