"""The names that the Automagik SDK gives to events, metrics and severities."""

from __future__ import annotations

from enum import Enum


class StandardEvents:
    """Events that all Automagik projects have in common."""

    FEATURE_USED = "automagik.feature.used"
    API_REQUEST = "automagik.api.request"
    COMMAND_EXECUTED = "automagik.cli.command"
    OPERATION_LATENCY = "automagik.performance.latency"
    ERROR_OCCURRED = "automagik.error"
    SERVICE_HEALTH = "automagik.health"


class MetricType(Enum):
    """What a metric's values are: a level, an increment, or samples of a distribution."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"

    @classmethod
    def of(cls, given: object) -> MetricType:
        """Return the type that `given` is or names in any case; GAUGE where it is none."""
        try:
            return cls(given.lower() if isinstance(given, str) else given)
        except ValueError:
            return cls.GAUGE


class LogSeverity(Enum):
    """Severities with OpenTelemetry's numbers."""

    TRACE = 1
    DEBUG = 5
    INFO = 9
    WARN = 13
    ERROR = 17
    FATAL = 21

    @classmethod
    def of(cls, given: object) -> LogSeverity:
        """Return the severity that `given` is or names in any case; INFO where it is none."""
        if isinstance(given, cls):
            return given
        return cls.__members__.get(given.upper(), cls.INFO) if isinstance(given, str) else cls.INFO
