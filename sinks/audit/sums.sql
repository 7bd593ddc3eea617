-- One pass over the events. The numbers of a producer's events are gathered 64 to a word, a bit for
-- each, so that this holds a row for about 64 events: a number that was stored twice has one bit
-- and counts two events. Ids from elsewhere have no producer and no word.
create temp table words as
select place, run_id, minted.producer as producer,
       try_cast(minted.sequence as bigint) // 64 as word,
       bit_or(1::ubigint << (try_cast(minted.sequence as bigint) & 63)) as bits,
       max(try_cast(minted.sequence as bigint)) as last_sequence,
       count(*) as events,
       min("offset") as first_offset, max("offset") as last_offset,
       count(*) filter (event_type = 'tool.started') as tools_started,
       count(*) filter (event_type = 'tool.ended') as tools_ended,
       count(*) filter (event_type = 'tool.ended'
                        and lower(trim(status, {blanks})) in ({failed})) as tools_failed,
       count(*) filter (event_type = 'llm.called') as llm_calls,
       count(*) filter (event_type = 'decision.made') as decisions,
       count(*) filter (event_type = 'error.raised') as errors,
       count(*) filter (event_type = 'run.heartbeat') as heartbeats,
       {tokens},
       -- As the fold does: each event's cost is rounded before it is summed.
       sum(case when cost_usd between -{most_usd} and {most_usd}
                then floor(cost_usd * 1e9 + 0.5)::bigint end) as cost_nano_usd
from event_rows
where dead_letter_reason is null and {scope}
group by all;

create temp table run_sums as
select place, run_id,
       (coalesce(sum(bit_count(bits)), 0)
        + coalesce(sum(events) filter (word is null), 0))::bigint as ids,
       min(first_offset) as first_offset, max(last_offset) as last_offset,
       {sums}
from words group by place, run_id;

create temp table newest_states as
with latest as (
    select place, run_id, max(file_last) as file_last
    from state_rows where {scope} group by place, run_id
)
select state_rows.place, state_rows.run_id, state_rows.file, first_offset, last_offset,
       coalesce(list_sum(list_transform(seen, lambda each:
           list_sum(list_transform(range(1, len(each.bounds), 2), lambda i:
               each.bounds[i + 1] - each.bounds[i] + 1)))), 0)::bigint
           + octet_length(seen_hashes) // {hash_bytes} as ids,
       {counters},
       -- Of a run that began before the events that are left, the state alone is left to believe.
       first_offset < beginnings.events_begin as is_kept,
       case when first_offset < beginnings.events_begin then seen end as seen
from state_rows join latest using (place, run_id, file_last) join beginnings using (place)
