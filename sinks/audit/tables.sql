-- What the events of a lake add up to, and what its states say, by partition and run.
-- `tiles` lists the files and, of each, the offsets that it is read for; `place` numbers the
-- partitions of all logs.

create temp view event_rows as
select tiles.place, rows.* exclude (file),
       regexp_extract(rows.event_id, '{minted}', ['producer', 'sequence']) as minted
from read_parquet(getvariable('event_files'), filename = 'file', hive_partitioning = false,
                  schema = map {{
{event_columns}
}}) as rows
join tiles on tiles.file = rows.file and rows."offset" between tiles.first and tiles.last;

create temp view state_rows as
select tiles.place, tiles.last as file_last, rows.*
from read_parquet(getvariable('state_files'), filename = 'file', hive_partitioning = false,
                  schema = map {{
{state_columns}
}}) as rows
join tiles on tiles.file = rows.file;
