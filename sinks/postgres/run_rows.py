"""The runs in PostgreSQL: their newest states, and what they cost with all below them."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
import pyarrow as pa

from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.postgres.lake_reader import LakeReader, query
from runfold.sinks.postgres.stale import note_stale
from runfold.sinks.postgres.writing import Target, stage, upsert

_RUNS = Target(
    "run_rows",
    key=("run_id",),
    json=("metrics", "attributes"),
    newer="""case when old.topic_id = excluded.topic_id
                  then old.last_offset <= excluded.last_offset
                  else (old.last_recorded_at, old.topic_id)
                       <= (excluded.last_recorded_at, excluded.topic_id) end""",
)

_BEFORE = """
drop table if exists pg_temp.moved, pg_temp.former_parents;
-- Runs whose events are charged to others than before, and those of them that are not known yet.
create temp table moved on commit drop as
select new.run_id, new.topic_id, new.partition, new.first_offset, old.run_id is null as is_new
from pg_temp.stage as new left join runfold.run_rows as old using (run_id)
where old.run_id is null
      or (old.agent_name, old.project, old.parent_run_id)
         is distinct from (new.agent_name, new.project, new.parent_run_id);
create temp table former_parents on commit drop as
select old.parent_run_id as run_id
from pg_temp.stage as new join runfold.run_rows as old using (run_id)
where old.parent_run_id is not null and old.parent_run_id is distinct from new.parent_run_id;
"""

_TREES = """
with recursive touched as (
    select run_id from pg_temp.stage union select run_id from pg_temp.former_parents
),
affected as (
    select r.run_id, r.parent_run_id from runfold.run_rows as r join touched using (run_id)
    union
    select r.run_id, r.parent_run_id
    from runfold.run_rows as r join affected as a on r.run_id = a.parent_run_id
),
below as (
    select a.run_id as ancestor, c.run_id as descendant
    from affected as a
    join runfold.run_rows as c on c.parent_run_id = a.run_id and c.run_id <> a.run_id
    union
    select b.ancestor, c.run_id
    from below as b
    join runfold.run_rows as c on c.parent_run_id = b.descendant and c.run_id <> b.descendant
),
costs as (
    select b.ancestor as run_id, sum(r.cost_nano_usd) as cost_nano_usd
    from below as b join runfold.run_rows as r on r.run_id = b.descendant
    where b.descendant <> b.ancestor
    group by b.ancestor
),
children as (
    select a.run_id, count(*) as children,
           count(*) filter (where c.recorded_status in ('pending', 'running')) as open_children
    from affected as a
    join runfold.run_rows as c on c.parent_run_id = a.run_id and c.run_id <> a.run_id
    group by a.run_id
)
update runfold.run_rows as r
set tree_cost_nano_usd = r.cost_nano_usd + coalesce(costs.cost_nano_usd, 0),
    children = coalesce(children.children, 0),
    open_children = coalesce(children.open_children, 0)
from affected as a
left join costs using (run_id)
left join children using (run_id)
where r.run_id = a.run_id
      and (r.tree_cost_nano_usd, r.children, r.open_children)
          is distinct from (r.cost_nano_usd + coalesce(costs.cost_nano_usd, 0),
                            coalesce(children.children, 0), coalesce(children.open_children, 0))
"""

_MOVED = """
with recursive below as (
    select run_id from pg_temp.moved
    union
    select c.run_id from below as b join runfold.run_rows as c on c.parent_run_id = b.run_id
)
select r.run_id, r.topic_id, r.partition, r.first_offset, r.first_recorded_at
from below join runfold.run_rows as r using (run_id)
"""


def export_runs(
    connection: psycopg.Connection,
    reader: LakeReader,
    before: Mapping[LogPartition, list[OffsetRange]],
) -> int:
    """Write the runs of `new_states`; return how many changed.

    Shape: `before` are the offsets whose events were exported before this step: the figures of
    runs that had events among them are stale where other agents are to be charged now.
    """
    columns = stage(connection, reader, query("runs"), _RUNS)
    connection.execute(_BEFORE)
    changed = upsert(connection, columns, _RUNS)
    connection.execute(_TREES)
    _note_moved(connection, reader, before)
    return changed


def _note_moved(
    connection: psycopg.Connection,
    reader: LakeReader,
    before: Mapping[LogPartition, list[OffsetRange]],
) -> None:
    """Have the figures computed again to which runs contribute that are charged to others now."""
    moved = [
        (run_id, recorded_at)
        for run_id, topic_id, partition, offset, recorded_at in connection.execute(_MOVED)
        if any(offset <= each.last for each in before.get(LogPartition(topic_id, partition), ()))
    ]
    if not moved:
        return
    reader.give("moved", pa.table({"run_id": pa.array([run_id for run_id, _ in moved])}))
    since = min(first for _, first in moved).date()
    note_stale(
        connection,
        reader,
        f"from events where date >= date '{since}' and run_id in (select run_id from moved)",
    )
