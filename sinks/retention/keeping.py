"""States of runs whose events were removed by age, for a set that is folded anew."""

from __future__ import annotations

import pyarrow.compute as pc

from runfold.schemas.lake import FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange, tile
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.compaction.merged_states import MergedStates
from runfold.sinks.file_labels import labels
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_errors import lake_errors, listing_again
from runfold.sinks.lake_files import Kind, file_name, topic_folder
from runfold.sinks.parquet_writers import states_writer
from runfold.sinks.state_sets import serving_set, states_root
from runfold.sinks.storage import at


def keep_states(lake: LocalLake, log: LogPartition, gone: OffsetRange) -> None:
    """Give `lake` the states that serve, of all runs that began in `gone`, as those of `gone`.

    Shape: such a state may know of later events too. These are folded once more, and pass for
    repetitions.
    Delivery: safe to repeat. Raises: LakeUnavailable, LakeCorrupt, NotMergeable.
    """
    listing_again(lambda: _keep_states(lake, log, gone))


def _keep_states(lake: LocalLake, log: LogPartition, gone: OffsetRange) -> None:
    serving = states_root(lake.root, serving_set(lake.root).name)
    states = MergedStates(serving, tile(Compactor(serving).files(log, Kind.STATES)).tiles)
    folder = topic_folder(states_root(lake.root, lake.states.name), log.topic_id) / Kind.STATES
    path = folder / file_name(log.partition, gone)
    with lake_errors(path, "write"), at(path).stream() as stream:
        with states_writer(stream) as writer:
            for rows in states:
                writer.write_table(rows.filter(pc.less_equal(rows["first_offset"], gone.last)))
            said = labels(Kind.STATES, log, gone, FlushCounts(expired=len(gone)))
            writer.add_key_value_metadata(said)
