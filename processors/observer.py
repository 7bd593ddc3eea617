"""Who wants to know what becomes of a worker's partitions."""

from __future__ import annotations

from runfold.schemas.errors import RunfoldError
from runfold.schemas.lake import Flush


class Observer:
    """Told by `Partitions`, on the event loop; must not block. This one lets it all pass."""

    def flushed(self, flush: Flush, seconds: float) -> None:
        """Note that `flush` is durable, and how long it took."""

    def held_up(self, partition: int, error: RunfoldError) -> None:
        """Note that a flush or a batch must be tried again, because of `error`."""

    def reads_again(self, partition: int) -> None:
        """Note that the consumer was sent back to records that it had passed over."""
