-- Runs as the log knew them in the past:
--   from run_at('crawl-7', '2026-11-21 07:00:00+00')  that run, as it was known at that time
--   from run_after('crawl-7', 120)                     that run, after its first 120 events
--   from runs_at('2026-11-21 07:00:00+00')             every run that was known then
-- They fold the events again, by the rules that workers fold by (processors/fold.py). A run is
-- orphaned where it was silent for too long at that time. `since := date '2026-11-20'`, a day
-- on or before the run's first event, lets older files be passed over.

create or replace macro canonical_status(status) as
    case lower(trim(status, E'{blanks}'))
{status_aliases}
         else lower(trim(status, E'{blanks}')) end;

create or replace macro folded_runs(until, most_events, ts, since) as table
with recorded as (
    select *, row_number() over (partition by topic_id, run_id order by "offset") as nth,
           regexp_extract(event_id, '{minted_id}', ['producer', 'sequence']) as minted
    from events
    where recorded_at <= until and date between since and (until + interval 1 day)::date
),
known as (
    select *, event_type in ('run.updated', 'run.ended', 'commit.associated') as overrides,
           event_type in ('tool.started', 'tool.ended') as of_tool,
           coalesce(status, case when event_type = 'run.ended'
                                 then if(error_type <> '', 'failure', 'success') end)
               as said_status,
           row_number() over (partition by topic_id, run_id order by occurred_at, "offset")
               as by_time,
           row_number() over (partition by topic_id, run_id, event_type order by "offset") = 1
               and event_type = 'run.started' as starts,
           try_cast(minted.sequence as bigint) as sequence,
           row_number() over (partition by topic_id, run_id, minted.producer
                              order by try_cast(minted.sequence as bigint) desc) = 1
               as last_of_producer
    from recorded where nth <= most_events
),
folded as (
    select run_id, topic_id,
{profile},
           arg_max({{'status': canonical_status(said_status), 'occurred_at': occurred_at,
                     'error_type': error_type, 'error_message': error_message}}, by_time)
               filter (overrides and said_status is not null) as outcome,
           max(canonical_status(status)) filter (starts) as status_at_start,
           max(occurred_at) filter (starts) as started_at,
           min(occurred_at) as first_seen_at, max(occurred_at) as last_seen_at,
           arg_min(recorded_at, "offset") as first_recorded_at,
           arg_max(recorded_at, "offset") as last_recorded_at,
           min("offset") as first_offset, max("offset") as last_offset,
           count(*) as events,
           count(*) filter (event_type = 'tool.started') as tools_started,
           count(*) filter (event_type = 'tool.ended') as tools_ended,
           count(*) filter (event_type = 'tool.ended'
                            and canonical_status(status) in ({failed_tool_statuses}))
               as tools_failed,
           count(*) filter (event_type = 'llm.called') as llm_calls,
           count(*) filter (event_type = 'decision.made') as decisions,
           count(*) filter (event_type = 'error.raised') as errors,
           count(*) filter (event_type = 'run.heartbeat') as heartbeats,
           count(*) filter (event_type not in ({known_types})) as unknown_events,
{tokens},
           coalesce(sum(try_cast(floor(cost_usd * {nano_usd} + 0.5) as bigint))
                    filter (cost_usd between -{most_usd} and {most_usd}), 0)::bigint
               as cost_nano_usd,
           arg_max({{'name': tool_name, 'is_open': event_type = 'tool.started',
                     'occurred_at': occurred_at, 'log_offset': "offset"}}, by_time)
               filter (of_tool) as tool,
           arg_max({{'kind': error_type, 'message': error_message, 'occurred_at': occurred_at,
                     'log_offset': "offset"}}, by_time)
               filter (event_type = 'error.raised') as error,
           (coalesce(sum(sequence) filter (last_of_producer), 0) - count(sequence))::bigint
               as missing_events
    from known group by topic_id, run_id
),
ended as (
    select *, coalesce(outcome.status, status_at_start, 'running') as recorded_status,
           case when outcome.status in ({terminal_statuses}) then outcome.occurred_at end as ended_at
    from folded
),
listened as (
    select *, silence_ms(recorded_status, last_recorded_at, coalesce(ts, last_recorded_at))
                  as silent_ms
    from ended
)
select run_id, parent_run_id, agent_name, project,
       status_after(recorded_status, heartbeats, silent_ms) as status, recorded_status, silent_ms,
       coalesce(started_at, first_seen_at) as started_at, ended_at,
       (epoch_us(coalesce(ended_at, last_seen_at))
        - epoch_us(coalesce(started_at, first_seen_at))) / 1000.0 as duration_ms,
       events, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
       reasoning_tokens,
       input_tokens + output_tokens + cache_read_tokens + cache_write_tokens as total_tokens,
       cost_nano_usd / 1e9 as cost_usd,
       llm_calls, tools_started, tools_ended, tools_failed, errors, decisions, heartbeats,
       unknown_events,
       coalesce(outcome.error_type, error.kind) as error_type,
       coalesce(outcome.error_message, error.message) as error_message,
       tool.name as last_tool, tool.is_open as last_tool_open, missing_events,
       * exclude (run_id, parent_run_id, agent_name, project, recorded_status, silent_ms,
                  started_at, ended_at, events, input_tokens, output_tokens, cache_read_tokens,
                  cache_write_tokens, reasoning_tokens, cost_nano_usd, llm_calls, tools_started,
                  tools_ended, tools_failed, errors, decisions, heartbeats, unknown_events,
                  missing_events, outcome, status_at_start, tool, error),
       tool.occurred_at as last_tool_at, tool.log_offset as last_tool_offset,
       error.kind as last_error_type, error.message as last_error_message,
       error.occurred_at as last_error_at, error.log_offset as last_error_offset
from listened
qualify row_number() over (partition by run_id
                           order by last_recorded_at desc, topic_id desc) = 1;

create or replace macro runs_at(ts, since := date '1970-01-01') as table
select * from folded_runs(ts::timestamptz, 9223372036854775807, ts::timestamptz, since);

create or replace macro run_at(wanted_run, ts, since := date '1970-01-01') as table
select * from folded_runs(ts::timestamptz, 9223372036854775807, ts::timestamptz, since)
where run_id = wanted_run;

create or replace macro run_after(wanted_run, first_events, since := date '1970-01-01') as table
select * from folded_runs('infinity'::timestamptz, first_events, null, since)
where run_id = wanted_run;
