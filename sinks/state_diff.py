"""How the states of two sets differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from runfold.schemas.codec.arrow import lake_state_schema
from runfold.schemas.errors import QueryFailed
from runfold.sinks.lake_connection import lake_connection
from runfold.sinks.object_path import LakePath
from runfold.sinks.state_sets import states_root
from runfold.sinks.views import duckdb_columns, prepare_states, without_globs

_NEWEST = r"""
create temp table {name} as
with rows as (
    select * exclude (file), regexp_extract(file, '([^/]+)/states/[^/]+$', 1) as topic_id,
           regexp_extract(file, '/p([0-9]+)-[0-9]+-[0-9]+\.parquet$', 1)::int as partition
    from read_parquet('{root}/*/states/*.parquet', filename = 'file', schema = map {{
{columns}
    }})
    where regexp_matches(file, '/p[0-9]{{2,9}}-[0-9]{{12,18}}-[0-9]{{12,18}}\.parquet$')
)
select * from rows
qualify row_number() over (partition by topic_id, partition, run_id order by last_offset desc) = 1;

create temp table {name}_ends as
with files as (
    select regexp_extract(file, '([^/]+)/states/[^/]+$', 1) as topic_id,
           regexp_extract(file, '/p([0-9]+)-[0-9]+-([0-9]+)\.parquet$', ['p', 'last']) as place
    from glob('{root}/*/states/p*.parquet')
)
select topic_id, place.p::int as partition, max(place.last::bigint) as last
from files group by all;
"""
_COMPARED = """
create temp table compared as
select coalesce(a.topic_id, b.topic_id) as topic_id, coalesce(a.run_id, b.run_id) as run_id,
       a.run_id is not null as in_a, b.run_id is not null as in_b,
       greatest(coalesce(a.last_offset, -1), coalesce(b.last_offset, -1))
           > coalesce(least(a_ends.last, b_ends.last), -1) as later,
       list_filter([{differences}], lambda each: each is not null) as differences
from a full join b on a.topic_id = b.topic_id and a.partition = b.partition and a.run_id = b.run_id
left join a_ends on a_ends.topic_id = coalesce(a.topic_id, b.topic_id)
                and a_ends.partition = coalesce(a.partition, b.partition)
left join b_ends on b_ends.topic_id = coalesce(a.topic_id, b.topic_id)
                and b_ends.partition = coalesce(a.partition, b.partition);
"""
_COUNTS = """
select count(*) filter (not later and in_a and in_b and len(differences) = 0),
       count(*) filter (not later and in_a and in_b and len(differences) > 0),
       count(*) filter (not later and not in_b), count(*) filter (not later and not in_a),
       count(*) filter (later)
from compared
"""
_DIFFERENT = """
select run_id, in_a, in_b, case when in_a and in_b then differences else [] end as differences
from compared where not later and (not in_a or not in_b or len(differences) > 0)
order by run_id limit ?
"""


@dataclass(frozen=True, slots=True)
class StateDiff:
    """What comparing two sets of states found.

    Shape: `changed_since` runs were heard of behind the end of one of the two and are not compared.
    `runs` are those that differ: `run_id`, `in_a`, `in_b`, and `differences`, each with `column`,
    `a` and `b` as text.
    """

    equal: int
    different: int
    only_in_a: int
    only_in_b: int
    changed_since: int
    runs: list[dict[str, Any]]

    @property
    def is_same(self) -> bool:
        """Whether all that can be compared is equal."""
        return self.different == self.only_in_a == self.only_in_b == 0


def diff_states(root: LakePath, a: str, b: str, *, most_runs: int) -> StateDiff:
    """Compare the states of the sets `a` and `b` as far as both reach.

    Raises: LakeUnavailable, QueryFailed where a file cannot be read.
    """
    columns = lake_state_schema().names
    differences = ", ".join(
        f"case when a.\"{name}\" is distinct from b.\"{name}\" then {{'column': '{name}', "
        f"'a': a.\"{name}\"::varchar, 'b': b.\"{name}\"::varchar}} end"
        for name in columns
        if name != "run_id"
    )
    try:
        with lake_connection(root) as connection:
            connection.execute("set timezone = 'UTC'")
            for name, set_name in (("a", a), ("b", b)):
                place = states_root(root.absolute(), set_name)
                prepare_states(place)
                connection.execute(
                    _NEWEST.format(
                        name=name,
                        root=without_globs(place).replace("'", "''"),
                        columns=duckdb_columns(lake_state_schema()),
                    )
                )
            connection.execute(_COMPARED.format(differences=differences))
            [(equal, different, in_a, in_b, later)] = connection.execute(_COUNTS).fetchall()
            found = connection.execute(_DIFFERENT, [most_runs])
            names = [each[0] for each in found.description]
            runs = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    except duckdb.Error as error:
        raise QueryFailed(f"the states cannot be compared: {error}") from error
    return StateDiff(equal, different, in_a, in_b, later, runs)
