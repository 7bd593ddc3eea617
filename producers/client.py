"""The client that agents import: it records what they do and never gets in their way."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from runfold.producers.calls import Calls
from runfold.producers.client_settings import (
    default_agent_name,
    find_address,
    find_journal_dir,
    find_schema_registry,
    given_address,
    host_name,
    without_login,
)
from runfold.producers.consent import consent
from runfold.producers.context import current_run
from runfold.producers.guarded_recorder import recorder_for
from runfold.producers.heartbeats import heartbeat_interval
from runfold.producers.journal import JournalLimits
from runfold.producers.observe import Observer
from runfold.producers.privacy import Privacy, private_lines
from runfold.producers.publisher import Publisher, open_publisher
from runfold.producers.recorder import AT_EXIT_SECONDS, ClientCounts
from runfold.producers.run import Run
from runfold.producers.tame import is_a, is_id, tame_id
from runfold.producers.trace_context import origin_of_process, trace_id_of, traced_into
from runfold.schemas.silence import HEARTBEAT
from runfold.schemas.vocabulary import EventType

if TYPE_CHECKING:
    from runfold.producers.git_context import GitWatch
    from runfold.producers.shipping_rounds import PublisherFactory

_PATIENCE = timedelta(seconds=10)
_STARTED, _ENDED = EventType.RUN_STARTED.value, EventType.RUN_ENDED.value
_ABSENT: Any = object()


class Client(Calls):
    """Records runs and events of agents; an event is safe when the call returns.

    Shape: every method takes any fields by name. Those of `Event` go to their columns, all others
    into `attributes`; a value that does not fit is kept in `attributes` and named there under
    `runfold.altered`.
    Delivery: appended to a journal on this machine, shipped to the log in the background, by this
    process or a later one; at least once, and once after deduplication by `event_id`.
    Errors: none, and no call waits for the broker. `counts` says what became of the events, and
    RUNFOLD_DEBUG=1 tells on stderr what went wrong.
    Thread-safe; a forked child goes on with a journal of its own.
    """

    def __init__(
        self,
        /,
        *,
        broker: str | None = None,
        endpoint: str | None = None,
        agent: str | None = None,
        journal_dir: Path | str | None = None,
        limits: JournalLimits | None = None,
        publisher: PublisherFactory | None = None,
        heartbeat_seconds: float | None = HEARTBEAT.total_seconds(),
        published: bool = False,
        privacy: Privacy | None = None,
        verbose: bool = False,
        git: bool = False,
        **fields: Any,
    ) -> None:
        """Make a client. Nothing is opened before the first event.

        Shape: `endpoint` is a collector's URL, `broker` a Kafka's HOST:PORT; default
        RUNFOLD_ENDPOINT, else RUNFOLD_BROKER, else the running stack's, else 127.0.0.1:9092;
        `journal_dir` by default RUNFOLD_JOURNAL, else `~/.runfold/journal`;
        `agent` names the agent of runs that do not name theirs, default the script's name.
        `fields` (`project`, `environment`, `agent_version`, …) are those of every run; `host` is
        this machine's name unless given. `publisher` opens another way into the log.
        An agent that is `published` records nothing unless its user has agreed, and then no
        content, no host and nothing secret; `privacy` asks for the same, or for parts of it, of an
        agent of one's own; `verbose` shows on stderr what is sent. See `docs/client.md`.
        With `git`, runs say which repository, branch and commit the process works in.
        Units: a run that was started here and has not ended says by itself that it is alive when
        it has said nothing for `heartbeat_seconds`, at most 30; None for never.
        """
        self._made_with = {
            "broker": broker,
            "endpoint": endpoint,
            "agent": agent,
            "journal_dir": journal_dir,
            "limits": limits,
            "publisher": publisher,
            "heartbeat_seconds": heartbeat_seconds,
            "published": published,
            "privacy": privacy,
            "verbose": verbose,
            "git": git,
            **fields,
        }
        self._agent = default_agent_name() if agent is None else agent
        self._address = given_address(endpoint, broker)
        is_published = not (published is False or published is None)
        self._origin = origin_of_process()
        self._fields = fields if is_published else {"host": host_name(), **fields}
        self._consent = consent(published=is_published)
        self._recorder = recorder_for(self._consent, verbose=verbose)(
            find_journal_dir(journal_dir),
            broker=without_login(self._address),
            limits=limits if is_a(limits, JournalLimits) else JournalLimits(),
            open_publisher=publisher or self._open_publisher,
            heartbeat_seconds=heartbeat_interval(heartbeat_seconds),
            private=private_lines(privacy, published=is_published),
        )
        self._git = _git_watch() if git is True else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy, or send to another process, as a client of the same kind with its own journal."""
        return _made_again, (self._made_with,)

    @property
    def enabled(self) -> bool:
        """Whether this client records; what decided it is told by RUNFOLD_DEBUG=1."""
        return self._consent.allowed

    def start_run(
        self,
        /,
        agent_name: str | None = None,
        *,
        run_id: str | None = None,
        parent: Run | str | None = None,
        **fields: Any,
    ) -> str:
        """Start a run and return its id.

        Shape: the parent is by default the run whose `with` block this is called in, else the run
        that started this process (RUNFOLD_PARENT_RUN).
        """
        started = self._recorder.mint_run_id() if run_id is None else self._id_for(run_id)
        self.begin_run(started, agent_name, parent, fields)
        return started

    @overload
    def event(
        self,
        event_type: str,
        /,
        *,
        run_id: str | None = None,
        name: str | None = None,
        **fields: Any,
    ) -> None: ...

    @overload
    def event(
        self, run_id: str | None, event_type: str, /, *, name: str | None = None, **fields: Any
    ) -> None: ...

    def event(
        self, first: Any, second: Any = _ABSENT, /, *, run_id: Any = None, **fields: Any
    ) -> None:
        """Record an event of a run; see `EventType` for the usual types.

        Shape: `event(run_id, "tool.ended", …)`, or `event("tool.ended", …)` in a run's block.
        """
        if second is _ABSENT:
            self.record(self._run_for(run_id), first, fields)
        else:
            self.record(self._run_for(first), second, fields)

    def end_run(self, /, run_id: str | None = None, status: str = "success", **fields: Any) -> None:
        """End a run. Units: `duration_ms` is by default the time since it was started here."""
        run = self._run_for(run_id)
        if fields.get("duration_ms") is None and run is not None:
            fields["duration_ms"] = self._recorder.elapsed_ms(run)
        fields["status"] = status
        self.record(run, _ENDED, fields)

    def run(
        self,
        /,
        agent_name: str | None = None,
        *,
        run_id: str | None = None,
        parent: Run | str | None = None,
        **fields: Any,
    ) -> Run:
        """Return a run for a `with` or `async with` block; the arguments are `start_run`'s."""
        return Run(
            self,
            self._recorder,
            run_id=self._recorder.mint_run_id() if run_id is None else self._id_for(run_id),
            agent_name=agent_name,
            parent=parent,
            fields=fields,
        )

    @property
    def observe(self) -> Observer:
        """A decorator that records each call of a function, coroutine or generator.

        Shape: `@client.observe`, or with `kind` (`run`, `tool` or `span`; by default a run where
        it is called outside of one, else a tool), `name` and fields of its events. A generator
        ends when it is exhausted, closed or raises. Arguments and results are not recorded.
        """
        return Observer(lambda: self)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was recorded before is in the log; say whether it is.

        Units: `timeout` in seconds.
        """
        return self._recorder.flush(timeout)

    def close(self, timeout: float = AT_EXIT_SECONDS) -> None:
        """Ship what is left and stop; what the timeout leaves stays in the journal.

        Units: `timeout` in seconds. Called at the interpreter's exit by itself. A client that is
        used again afterwards opens another journal.
        """
        self._recorder.close(timeout)

    @property
    def counts(self) -> ClientCounts:
        """What became of the events recorded so far."""
        return self._recorder.counts

    def begin_run(
        self, run_id: str, agent_name: str | None, parent: Run | str | None, fields: dict[str, Any]
    ) -> str:
        """Start a run that has an id and return its trace id; see `start_run`."""
        outer = self._parent_of(run_id, parent)
        given = {**self._fields, **fields}
        if self._git is not None:
            given = {**self._git.fields(), **given}
        if outer is not None:
            given = {**traced_into(outer, self._origin), **given, "parent_run_id": outer}
        elif self._origin.trace_id is not None:
            given = {**traced_into(None, self._origin), **given}
        agent = self._agent if agent_name is None else agent_name
        self._recorder.record(run_id, _STARTED, given, agent_name=agent)
        trace_id = given.get("trace_id")
        return trace_id if type(trace_id) is str else ""

    def trace_of(self, run_id: str) -> str:
        """Return the trace of a run as far as it is known without its place."""
        return self._origin.trace_id or trace_id_of(run_id)

    def _run_for(self, run_id: str | None) -> str | None:
        return current_run.get() if run_id is None else run_id

    def _id_for(self, run_id: object) -> str:
        return run_id if type(run_id) is str and is_id(run_id) else tame_id(run_id)

    def _parent_of(self, run_id: str, given: object) -> str | None:
        if given is None:
            found = current_run.get() or self._origin.run_id
        else:
            found = given.run_id if is_a(given, Run) else tame_id(given)
        return None if found == run_id else found

    def _open_publisher(self) -> AbstractAsyncContextManager[Publisher]:
        address, registry = find_address(self._address), find_schema_registry()
        return open_publisher(address, patience=_PATIENCE, schema_registry=registry)


def _git_watch() -> GitWatch:
    from runfold.producers.git_context import GitWatch

    return GitWatch()


def _made_again(settings: dict[str, Any]) -> Client:
    return Client(**settings)
