"""What clients declared as dropped: events `custom` named `events.dropped`."""

from __future__ import annotations

from typing import Any

import orjson

from runfold.sinks.audit.report import Drop


def read_drop(run_id: str, attributes: Any) -> Drop | None:
    """Return the drop that an event of that name declares, None where it does not say.

    Shape: `attributes` is an object, or a JSON text of one as in the log.
    """
    try:
        said = orjson.loads(attributes) if isinstance(attributes, str) else attributes
        ranges = [(int(first), int(last)) for first, last in said["ranges"]]
    except (ValueError, TypeError, KeyError):
        return None
    producer = said.get("producer")
    if not isinstance(producer, str) or not all(0 < first <= last for first, last in ranges):
        return None
    return Drop(run_id, producer, ranges)
