select topic_id, partition, "offset" as log_offset,
       * exclude (topic_id, partition, "offset", dead_letter_reason, dead_letter_message),
       -- What earlier systems kept for ever, as their dashboards count all of it.
       case when event_id like 'af-%' then 'agent_framework'
            when event_id like 'lt-%' and event_type = 'custom' then 'local_telemetry' end as family
from new_rows
where dead_letter_reason is null and (recorded_at >= {recent_from} or family is not null)
