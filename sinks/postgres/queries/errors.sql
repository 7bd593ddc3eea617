select topic_id, partition, "offset" as log_offset, recorded_at, occurred_at, run_id, event_type,
       agent_name, project, error_type, error_message, tool_name, status
from new_rows
where dead_letter_reason is null
      and (event_type = 'error.raised' or error_type is not null or error_message is not null)
