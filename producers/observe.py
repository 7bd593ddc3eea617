"""Recording functions as runs, tool calls or spans: a decorator for all four kinds of function."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from runfold.producers.block import Block
from runfold.producers.context import current_run

if TYPE_CHECKING:
    from runfold.producers.client import Client

Kind = Literal["run", "tool", "span"]
F = TypeVar("F", bound=Callable[..., Any])


class Observer:
    """Makes `observe` for the client that `client` returns, asked at each call of a function."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self, /, *, kind: Kind | None = None, name: str | None = None, **fields: Any
    ) -> Callable[[F], F]: ...

    def __call__(
        self,
        function: Any = None,
        /,
        *,
        kind: Kind | None = None,
        name: str | None = None,
        **fields: Any,
    ) -> Any:
        """Return a decorator, or the decorated function; see `Client.observe`."""

        def decorate(observed: F) -> F:
            called = name or _name_of(observed)
            return _wrapped(observed, lambda: self._block(kind, called, fields))

        return decorate if function is None else decorate(function)

    def _block(self, kind: Kind | None, name: str, fields: dict[str, Any]) -> Block:
        client = self._client()
        if kind == "run" or (kind is None and current_run.get() is None):
            return client.run(name, **fields)
        return client.span(name, **fields) if kind == "span" else client.tool(name, **fields)


def _name_of(function: Any) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__name__
    return str(name).rpartition("<locals>.")[2]


def _wrapped(function: F, open_block: Callable[[], Block]) -> F:
    """Return `function` in the block that each call of it gets; its kind stays what it is."""
    wrapper: Any
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, open_block)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, open_block)
    elif inspect.iscoroutinefunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            async with open_block():
                return await function(*args, **kwargs)

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with open_block():
                return function(*args, **kwargs)

    return wraps(function)(wrapper)  # type: ignore[return-value]


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], open_block: Callable[[], Block]
) -> Callable[..., Generator[Any, Any, Any]]:
    """Wrap a generator: its block is the current place only while its own code runs."""

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        resume: Callable[[Any], Any] = generator.send
        given: Any = None
        block = open_block()
        block.begin()
        try:
            while True:
                block.enter()
                try:
                    item = resume(given)
                finally:
                    block.leave()
                try:
                    resume, given = generator.send, (yield item)
                except BaseException as error:  # noqa: BLE001  for the generator to handle
                    resume, given = generator.throw, error
        except StopIteration as stop:
            block.end()
            return stop.value
        except BaseException as error:
            block.end(error)
            raise

    return wrapper


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], open_block: Callable[[], Block]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Wrap an asynchronous generator, as `_generator` does."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        resume: Callable[[Any], Any] = generator.asend
        given: Any = None
        block = open_block()
        block.begin()
        try:
            while True:
                block.enter()
                try:
                    item = await resume(given)
                finally:
                    block.leave()
                try:
                    resume, given = generator.asend, (yield item)
                except BaseException as error:  # noqa: BLE001  for the generator to handle
                    resume, given = generator.athrow, error
        except StopAsyncIteration:
            block.end()
        except BaseException as error:
            block.end(error)
            raise

    return wrapper
