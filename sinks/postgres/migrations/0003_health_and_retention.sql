-- What became of the exported offsets of a log, counted with them.
alter table runfold.watermarks add column events bigint not null default 0;
alter table runfold.watermarks add column dead_letters bigint not null default 0;
alter table runfold.watermarks add column recorded_at timestamptz;

-- `duplicates` are records that left no row: repeated ones, and losses that were accepted.
drop table runfold.pipeline_health;
create table runfold.pipeline_health (
    checked_at timestamptz not null,
    topic_id text not null,
    topic text,
    records bigint not null,
    events bigint not null,
    duplicates bigint not null,
    dead_letters bigint not null,
    missing bigint not null,
    holes bigint not null,
    lag_records bigint,
    exported_recorded_at timestamptz,
    freshness_seconds double precision,
    primary key (checked_at, topic_id)
);

create index run_rows_missing on runfold.run_rows (missing_events) where missing_events > 0;

-- Hours and days of which retention has taken events from the lake: their figures stay.
create table runfold.frozen_buckets (
    what text not null,
    bucket timestamptz not null,
    primary key (what, bucket)
);

alter function runfold.json_of(text) strict;
