"""What a collector counts, as one closed list that Prometheus reads."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Counts:
    """Counts requests and events. Labels: `api` is a family of clients, `status` HTTP's."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "runfold_collector_requests_total",
            "Requests answered.",
            ("api", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "runfold_collector_request_seconds",
            "From the head of a request to its answer.",
            ("api",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._events = Counter(
            "runfold_collector_events_total",
            "Events that Kafka has acknowledged.",
            ("api",),
            registry=self._registry,
        )
        self._rejected = Counter(
            "runfold_collector_rejected_total",
            "Items that could not become events; the answer said which.",
            ("api",),
            registry=self._registry,
        )
        self.waiting_bytes = Gauge(
            "runfold_collector_waiting_bytes",
            "Bytes that wait for Kafka's acknowledgement.",
            registry=self._registry,
        )

    def request(self, api: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(api, str(status)).inc()
        self._seconds.labels(api).observe(seconds)

    def events(self, api: str, *, accepted: int, rejected: int) -> None:
        """Count what became of the items of a request."""
        self._events.labels(api).inc(accepted)
        if rejected:
            self._rejected.labels(api).inc(rejected)

    def render(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        return generate_latest(self._registry)
