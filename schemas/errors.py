"""The errors of runfold, drawn as a tree.

RunfoldError
├── ConfigurationError      halt         a setting, option or name is wrong
├── EventRejected           dead_letter  one record cannot become an event
├── SchemaError             halt         a schema file is broken or was changed incompatibly
├── BrokerUnavailable       retry        Kafka does not answer
│   └── CollectorBusy       retry        a collector asks to wait
├── RegistryUnavailable     retry        the schema registry does not answer
├── LogGone                 halt         the log no longer holds an offset that is needed
├── LogReplaced             retry        the topic was deleted and created again
├── PartitionsAdded         halt         the topic has more partitions than its log began with
├── EventsExpired           halt         events that are needed were removed by age
├── LakeUnavailable         retry        the lake cannot be written or read now
├── LakeAhead               retry        another worker is further on than this one
├── LakeCorrupt             retry        a lake file is not what its name says; it is set aside
├── TooManyDeadLetters      halt         more recent records than the cap allows are no events
├── StatesSwitched          retry        another set of states is to be gone on with
└── QueryFailed             halt         DuckDB refused a statement
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

Disposition = Literal["retry", "dead_letter", "halt"]


class RunfoldError(Exception):
    """Base of every error that runfold raises on purpose.

    `disposition` says what a caller does with it; `code` is stable and is also the metric label.
    """

    code: ClassVar[str] = "runfold_error"
    disposition: ClassVar[Disposition] = "halt"


class ConfigurationError(RunfoldError):
    """A setting, an option or a name is wrong; the message names it."""

    code = "configuration"


class EventRejected(RunfoldError):
    """One record cannot become an event.

    `reason` is one of `DeadLetterReason` and stable; the message says what is wrong with it.
    """

    code = "event_rejected"
    disposition: ClassVar[Disposition] = "dead_letter"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class SchemaError(RunfoldError):
    """A schema file is broken, or is incompatible with an earlier version of itself."""

    code = "schema"


class BrokerUnavailable(RunfoldError):
    """Kafka does not answer at the address given."""

    code = "broker_unavailable"
    disposition: ClassVar[Disposition] = "retry"


class CollectorBusy(BrokerUnavailable):
    """A collector has more to do than it can, and says when to come back.

    Units: `retry_after` from now on; zero where it does not say.
    """

    code = "collector_busy"

    def __init__(self, message: str, retry_after: timedelta = timedelta()) -> None:
        super().__init__(message, retry_after)
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message}, it may be asked again in {self.retry_after.total_seconds():g} s"


class RegistryUnavailable(RunfoldError):
    """The schema registry does not answer, so nobody can say what a record was written with."""

    code = "registry_unavailable"
    disposition: ClassVar[Disposition] = "retry"


class LogGone(RunfoldError):
    """The log no longer holds an offset that derived data would continue from."""

    code = "log_gone"


class EventsExpired(RunfoldError):
    """States are to be made of events that were removed by age."""

    code = "events_expired"


class LogReplaced(RunfoldError):
    """The topic was deleted and created again: it is another log, and is begun anew."""

    code = "log_replaced"
    disposition: ClassVar[Disposition] = "retry"


class PartitionsAdded(RunfoldError):
    """The topic has more partitions than its log began with, so that keys go elsewhere."""

    code = "partitions_added"


class LakeUnavailable(RunfoldError):
    """The lake cannot be written or read at the moment: disk full, no permission, no network."""

    code = "lake_unavailable"
    disposition: ClassVar[Disposition] = "retry"


class LakeAhead(RunfoldError):
    """The lake holds more of a partition than the worker that asks: another one has taken over."""

    code = "lake_ahead"
    disposition: ClassVar[Disposition] = "retry"


class LakeCorrupt(RunfoldError):
    """A lake file is not what its name says. It has been set aside, so the next try does without.

    What it held is derived anew from the log, or reported as a hole.
    """

    code = "lake_corrupt"
    disposition: ClassVar[Disposition] = "retry"


class TooManyDeadLetters(RunfoldError):
    """More of the recent records than the cap allows could not become events."""

    code = "too_many_dead_letters"


class StatesSwitched(RunfoldError):
    """An operator has promoted another set of states, which is to be gone on with."""

    code = "states_switched"
    disposition: ClassVar[Disposition] = "retry"


class QueryFailed(RunfoldError):
    """DuckDB refused a statement; the message is DuckDB's own."""

    code = "query_failed"
