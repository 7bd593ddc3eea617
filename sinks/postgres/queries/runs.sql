-- The states that changed, as rows of `runs`; what a run costs with all below it is summed there.
with newest_of_a_log as (
    select * from new_states
    qualify row_number() over (partition by topic_id, run_id order by last_offset desc) = 1
),
states as (
    select * from newest_of_a_log
    qualify row_number() over (partition by run_id
                               order by last_recorded_at desc, topic_id desc) = 1
)
select run_id, parent_run_id, session_id, trace_id, agent_name, agent_owner, agent_version,
       job_type, trigger_type, project, environment, host, user_id, provider, model,
       status as recorded_status,
       coalesce(started_at, first_seen_at) as started_at, ended_at,
       (epoch_us(coalesce(ended_at, last_seen_at))
        - epoch_us(coalesce(started_at, first_seen_at))) / 1000.0 as duration_ms,
       events, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
       reasoning_tokens,
       input_tokens + output_tokens + cache_read_tokens + cache_write_tokens as total_tokens,
       cost_nano_usd, llm_calls, tools_started, tools_ended, tools_failed, errors, decisions,
       heartbeats, unknown_events,
       coalesce(list_sum(list_transform(seen, lambda each:
           each.bounds[-1] - list_sum(list_transform(range(1, len(each.bounds), 2), lambda i:
               each.bounds[i + 1] - each.bounds[i] + 1)))), 0)::bigint as missing_events,
       coalesce(error_type, last_error_type) as error_type,
       coalesce(error_message, last_error_message) as error_message,
       last_tool, last_tool_open,
       items_discovered, items_succeeded, items_failed, items_skipped,
       git_repo, git_branch, git_commit_hash, git_commit_source, git_commit_author,
       git_commit_timestamp, to_json(metrics)::varchar as metrics, attributes,
       first_seen_at, last_seen_at, first_recorded_at, last_recorded_at,
       topic_id, partition, first_offset, last_offset
from states
