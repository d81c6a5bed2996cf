"""The functions a pool is given, and what is done with a client when none is given."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from speechpool.errors import PoolTimeout

from .settings import PoolSettings

__all__ = ["Hooks", "limited"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


async def limited(awaitable: Awaitable[R], seconds: float, what: str) -> R:
    """Await a hook's result for so many seconds at most.

    Raises:
        PoolTimeout: It took longer; it has been cancelled.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaitable
    except TimeoutError as error:
        if limit.expired():
            raise PoolTimeout(f"{what} took longer than its limit of {seconds} s") from error
        raise


class Hooks(Generic[T]):
    """One generation of hooks, each synchronous or asynchronous.

    Args:
        settings: Where the functions and their limits come from.
        generation: Counts the changes of hooks and the drains; a client of an older one is not stocked again.
    """

    __slots__ = (
        "_close",
        "_factory",
        "_inline_check",
        "_reset",
        "_warm",
        "are_default",
        "check",
        "generation",
        "settings",
    )

    def __init__(self, settings: PoolSettings, generation: int) -> None:
        self.settings = settings
        self.generation = generation
        self._factory: Callable[[], Any] = settings.factory
        self._warm: Callable[[T], Any] | None = settings.warm_fn
        self._reset: Callable[[T], Any] | None = settings.reset_fn
        self._close: Callable[[T], Any] | None = settings.close_fn
        self.check: Callable[[T], Any] | None = settings.check_fn
        self._inline_check = self.check is not None and not _is_async(self.check)
        self.are_default = self.check is None and self._reset is None

    async def create(self) -> T:
        """A new client; whatever the factory raises, or PoolTimeout after `create_timeout`."""
        made = self._factory()
        if inspect.isawaitable(made):
            made = await limited(made, self.settings.create_timeout, "the factory")
        if made is None:
            raise TypeError("the factory returned None instead of a client")
        return made  # type: ignore[no-any-return]  # the factory's result is the client, by its contract

    async def warm(self, resource: T) -> None:
        """Warm a client up; returns when it is warm.

        Raises:
            Exception: The hook's own, PoolTimeout after `warm_timeout`, or RuntimeError when it said False.
        """
        if self._warm is None:
            return
        done = self._warm(resource)
        if inspect.isawaitable(done):
            done = await limited(done, self.settings.warm_timeout, "warm_fn")
        if done is not None and not done:
            raise RuntimeError(f"warm_fn returned {type(done).__name__} {bool(done)}")

    def reset(self, resource: T) -> Awaitable[object] | None:
        """Begin to clear what a caller left; None when it is done, else the rest of it, with its limit."""
        reset = self._reset
        if reset is not None:
            done = reset(resource)
        else:
            clear = getattr(resource, "clear_session_state", None)
            if clear is None:
                return None
            done = clear()
        if done is None or not inspect.isawaitable(done):
            return None
        return limited(done, self.settings.reset_timeout, "reset_fn")

    def close(self, resource: T) -> Awaitable[object] | None:
        """Begin to close; None when it is done, else the rest of it, with its limit."""
        if self._close is not None:
            done = self._close(resource)
        else:
            close = getattr(resource, "close", None) or getattr(resource, "aclose", None)
            done = close() if callable(close) else None
        if done is None or not inspect.isawaitable(done):
            return None
        return limited(done, self.settings.close_timeout, "close_fn")

    def begin_check(self, resource: T) -> bool | Awaitable[bool]:
        """Check an idle client: the answer, or the awaitable of it when `check_fn` is asynchronous."""
        if self.check is None:
            return self.is_usable(resource)
        try:
            good = self.check(resource)
        except Exception:  # noqa: BLE001  # a check that raises says no, whatever it raises
            return False
        return self._finish_check(good) if inspect.isawaitable(good) else bool(good)

    def is_usable(self, resource: T) -> bool:
        """Whether `is_ready` (an attribute or a method) allows handing the client out; True without one."""
        try:
            ready = getattr(resource, "is_ready", True)
            return bool(ready() if callable(ready) else ready)
        except Exception:  # noqa: BLE001  # a client that cannot say whether it is ready is not
            return False

    def is_usable_in_session(self, resource: T) -> bool:
        """Whether a session may go on with its client.

        An asynchronous `check_fn` is not run on a client that may be in use.
        """
        if self.check is None:
            return self.is_usable(resource)
        if not self._inline_check:
            return True
        try:
            good = self.check(resource)
        except Exception:  # noqa: BLE001  # a check that raises says no, whatever it raises
            return False
        if inspect.iscoroutine(good):
            good.close()
        return inspect.isawaitable(good) or bool(good)

    async def _finish_check(self, answer: Awaitable[object]) -> bool:
        with contextlib.suppress(Exception):
            return bool(await limited(answer, self.settings.check_timeout, "check_fn"))
        return False


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
