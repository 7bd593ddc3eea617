"""The same fold by Quix Streams, its state in RocksDB with a changelog, as it is by default.

python -m tests.benchmarks.contenders.quix_fold BOOTSTRAP TOPIC RECORDS FOLDER
Runs in the other virtual environment, which has nothing of runfold.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from quixstreams import Application, State  # type: ignore[import-not-found]
from quixstreams.models import Deserializer  # type: ignore[import-not-found]
from rocksdict import AccessType, Options, Rdict  # type: ignore[import-not-found]

from tests.benchmarks.contenders import plain_fold
from tests.benchmarks.contenders.measured import now, say

STATE_KEY = "run"


class EventDeserializer(Deserializer):  # type: ignore[misc]
    """Decodes an event as Quix wants it."""

    def __call__(self, value: bytes, ctx: Any) -> dict[str, Any]:
        """Return the event of one record."""
        return plain_fold.decode(value)


def run(bootstrap: str, topic_name: str, records: int, folder: Path) -> None:
    """Fold `records` records, then say when, and what the state on disk adds up to."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=folder.name,
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="WARNING",
        auto_create_topics=True,
    )
    topic = app.topic(topic_name, key_deserializer="str", value_deserializer=EventDeserializer())
    times: list[float] = []
    folded = 0

    def fold(event: dict[str, Any], state: State) -> None:
        nonlocal folded
        if not folded:
            times.append(now())
        known = state.get(STATE_KEY) or plain_fold.new_state()
        if plain_fold.fold(known, event):
            state.set(STATE_KEY, known)
        folded += 1
        if folded == records:
            times.append(now())
            app.stop()

    app.dataframe(topic).update(fold, stateful=True)
    app.run()
    first, done = times
    say(first=first, done=done, committed=now(), records=folded, **_totals(folder))


def _totals(folder: Path) -> dict[str, int]:
    events = tokens = 0
    for store in {path.parent for path in folder.rglob("CURRENT")}:
        database = Rdict(str(store), Options(raw_mode=True), access_type=AccessType.read_only())
        for value in database.values():
            state = json.loads(value[value.index(b"{") :])
            events += state["events"]
            tokens += state["input_tokens"]
        database.close()
    return {"events": events, "input_tokens": tokens}


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
