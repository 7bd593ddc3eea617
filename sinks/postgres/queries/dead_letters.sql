select topic_id, partition, "offset" as log_offset, recorded_at, run_id, event_id,
       dead_letter_reason as reason, dead_letter_message as message
from new_rows
where dead_letter_reason is not null
