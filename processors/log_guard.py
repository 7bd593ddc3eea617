"""Makes sure that a worker's topic is still the log that it began with."""

from __future__ import annotations

from runfold.processors.topic_watch import TopicWatch
from runfold.schemas.errors import (
    BrokerUnavailable,
    ConfigurationError,
    LogReplaced,
    PartitionsAdded,
)
from runfold.schemas.lake import LogDescription


class LogGuard:
    """Compares a topic with the log that a worker folds.

    Asked after records were fetched and before what came of them is written: while the topic is
    still the same then, so it was when they were fetched.
    """

    def __init__(self, watch: TopicWatch, log: LogDescription) -> None:
        self._watch = watch
        self._log = log

    async def check(self) -> None:
        """Return where the topic is the log.

        Raises: BrokerUnavailable (retry), also while there is no such topic; LogReplaced (retry);
        PartitionsAdded (halt).
        """
        try:
            now = await self._watch.look()
        except ConfigurationError as gone:
            raise BrokerUnavailable(str(gone)) from gone
        if now.topic_id != self._log.topic_id:
            raise LogReplaced(
                f"{now.topic} was deleted and created again: log {self._log.topic_id} is no more, "
                f"{now.topic_id} is begun from its first record; the lake keeps what it has of both"
            )
        check_partitions(self._log, now)


def check_partitions(known: LogDescription, now: LogDescription) -> None:
    """Return where a log has the partitions that it began with. Raises: PartitionsAdded (halt)."""
    if now.partitions != known.partitions:
        raise PartitionsAdded(
            f"{now.topic} has {now.partitions} partitions and began with {known.partitions}. "
            "Later events of a run may be in another partition than its earlier ones, where its "
            "state would begin anew, so no worker goes on by itself. Let the open runs end (their "
            "producers choose partitions anew when they restart), then `runfold accept partitions`."
        )
