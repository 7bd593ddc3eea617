"""The same fold by Quix Streams, its state in RocksDB with a changelog, as it is by default.

python -m tests.benchmarks.contenders.quix_fold BOOTSTRAP TOPIC RECORDS FOLDER
Runs in the other virtual environment, which has nothing of runfold.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.contenders import plain_fold
from tests.benchmarks.contenders.measured import Moment, now, say

STATE_KEY = "run"


# They are not there where types are checked.
quixstreams: Any = importlib.import_module("quixstreams")
rocksdict: Any = importlib.import_module("rocksdict")


def run(bootstrap: str, topic_name: str, records: int, folder: Path) -> None:
    """Fold `records` records, then say when, and what the state on disk adds up to."""
    app = quixstreams.Application(
        broker_address=bootstrap,
        consumer_group=folder.name,
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="WARNING",
        auto_create_topics=True,
    )
    topic = app.topic(topic_name, key_deserializer="str", value_deserializer="bytes")
    times: list[Moment] = []
    folded = 0

    def fold(value: bytes, state: Any) -> None:
        nonlocal folded
        if not folded:
            times.append(now())
        known = state.get(STATE_KEY) or plain_fold.new_state()
        if plain_fold.fold(known, plain_fold.decode(value)):
            state.set(STATE_KEY, known)
        folded += 1
        if folded == records:
            times.append(now())
            app.stop()

    app.dataframe(topic).update(fold, stateful=True)
    app.run()
    first, done = times
    say(first=first, done=done, records=folded, **_totals(folder))


def _totals(folder: Path) -> dict[str, int]:
    events = tokens = 0
    for store in {path.parent for path in folder.rglob("CURRENT")}:
        database = rocksdict.Rdict(
            str(store),
            rocksdict.Options(raw_mode=True),
            access_type=rocksdict.AccessType.read_only(),
        )
        for value in database.values():
            state = json.loads(value[value.index(b"{") :])
            events += state["events"]
            tokens += state["input_tokens"]
        database.close()
    return {"events": events, "input_tokens": tokens}


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
