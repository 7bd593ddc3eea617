select topic_id, partition, "offset" as log_offset,
       * exclude (topic_id, partition, "offset", dead_letter_reason, dead_letter_message)
from new_rows
where dead_letter_reason is null and recorded_at >= {recent_from}
