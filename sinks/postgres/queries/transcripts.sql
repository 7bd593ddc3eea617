select topic_id, partition, "offset" as log_offset, recorded_at, occurred_at, run_id, session_id,
       host, attributes as content
from new_rows
where dead_letter_reason is null and event_type = 'transcript.saved'
