"""What a call of the published Automagik SDK costs, in an environment of its own (Python 3.12).

Run with an endpoint, a payload's size, a number of threads and one of calls; it prints p50 and p99
in microseconds as JSON. Nothing of runfold is imported here.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

os.environ["AUTOMAGIK_TELEMETRY_ENABLED"] = "true"

from automagik_telemetry import AutomagikTelemetry, TelemetryConfig  # type: ignore[import-not-found]


def main() -> None:
    """Measure and print."""
    endpoint, size, threads, calls = sys.argv[1], *map(int, sys.argv[2:5])
    client = AutomagikTelemetry(
        TelemetryConfig(project_name="bench", version="1", endpoint=endpoint)
    )
    payload = {"payload": "x" * size}
    taken: list[int] = []

    def work() -> None:
        clock = time.perf_counter_ns
        own = []
        for _ in range(calls // threads):
            before = clock()
            client.track_event("tool.ended", payload)
            own.append(clock() - before)
        taken.extend(own)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    taken.sort()
    figures = [taken[len(taken) * part // 100] / 1000 for part in (50, 99)]
    sys.stdout.write(json.dumps(figures))
    sys.stdout.flush()
    os._exit(0)


main()
