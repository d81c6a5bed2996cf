"""Bounds on what an engine is awaited for, and on how often another client tries."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    SpeechError,
    Throttled,
    WorkerDied,
)
from speechpool.service.speech_pools import Use

__all__ = [
    "DEATH_SECONDS",
    "MAX_ATTEMPTS",
    "RETRIED",
    "STOP_SECONDS",
    "Attempts",
    "Patience",
    "is_broken",
    "stop",
    "within",
]

E = TypeVar("E")

MAX_ATTEMPTS = 3
"""Clients that may try one piece of work, the later ones only while nothing of it was done: another warm client, then
one of another endpoint, for which the engine has had its reasons by then."""

RETRIED = (EngineTimeout, EngineFailed, EngineUnavailable)
"""What another client may do better."""

DEATH_SECONDS = 0.2
"""Before the last client tries what two died of: whatever ended them may have ended the idle ones in the same moment,
and of a process's end the loop learns only when the kernel has taken it down."""

STOP_SECONDS = 4.0
"""How long an engine may take to stop, before its client is closed. Who speaks promises 50 ms, but a machine without
time for it must not cost a session its client; decoders finish their segment first (the local one within 3 s)."""


def is_broken(error: BaseException) -> bool:
    """Whether a client that failed so must not serve again; one that was refused its credentials holds the old ones."""
    return isinstance(error, (*RETRIED, AuthenticationFailed))


class Attempts:
    """How one piece of work was tried so far, and whether another client may try."""

    def __init__(self) -> None:
        self.count = 0
        self._deaths = 0
        self._tried_once: set[str] = set()
        self._throttled: tuple[str, Throttled] | None = None

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next attempt."""
        return DEATH_SECONDS if self._deaths == MAX_ATTEMPTS - 1 else 0.0

    def begin(self) -> None:
        """A client is to be acquired for another attempt."""
        self.count += 1

    def may_go_on(self, error: BaseException, *, endpoint: str | None = None, is_acquiring: bool = False) -> bool:
        """Whether another client may try after `error`.

        Args:
            error: What the last attempt failed with.
            endpoint: The endpoint that failed, where that is known.
            is_acquiring: Whether no client could even be acquired: that is tried twice, for a service that is down is
                not met with a volley.
        """
        self._deaths += isinstance(error, WorkerDied)
        if self.count >= MAX_ATTEMPTS or (is_acquiring and not self._is_first("acquiring")):
            return False
        if isinstance(error, RETRIED):
            return True
        if isinstance(error, AuthenticationFailed):
            return self._is_first("authentication")  # after a rotation a client may hold the old key
        if isinstance(error, Throttled) and endpoint is not None and self._throttled is None:
            self._throttled = (endpoint, error)
            return True
        return False

    def check_endpoint(self, endpoint: str | None) -> None:
        """Spare an endpoint that asked for it.

        Raises:
            Throttled: As it asked.
        """
        if self._throttled and self._throttled[0] == endpoint:
            raise self._throttled[1]

    def _is_first(self, what: str) -> bool:
        is_first = what not in self._tried_once
        self._tried_once.add(what)
        return is_first


class Patience(Generic[E]):
    """Awaits an engine's events, each no longer than it may take; what its consumer does between two does not count.

    To be used inside `async with`, which ends with TimeoutError, and then `expired` is true. There are many events and
    hardly ever one too late: the timer is not set anew for each, but looks, when it rings, whether it is time.

    Args:
        events: The engine's.
        clock: The running loop's time.
        due_at: When the next event is due, by when all began and when it was asked for; None for never.
    """

    def __init__(
        self, events: AsyncIterator[E], clock: Callable[[], float], due_at: Callable[[float, float], float | None]
    ) -> None:
        self.seconds = 0.0
        self._deadline = asyncio.timeout(None)
        self._events = events
        self._clock = clock
        self._due_at = due_at
        self._began_at = clock()
        self._asked_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    @property
    def expired(self) -> bool:
        """Whether an event was too late."""
        return self._deadline.expired()

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._deadline.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Await no more."""
        if self._timer:
            self._timer.cancel()
        await self._deadline.__aexit__(kind, error, traceback)

    async def next(self) -> E | None:
        """The next event; None at the end."""
        asked_at = self._asked_at = self._clock()
        self.look_again()
        event = await anext(self._events, None)
        self._asked_at = None
        if self._deadline.when() is not None:  # it came in the last moment
            self._deadline.reschedule(None)
        self.seconds += self._clock() - asked_at
        return event

    def look_again(self) -> None:
        """What is due may have changed."""
        due_at = None if self._asked_at is None else self._due_at(self._began_at, self._asked_at)
        if due_at is None or due_at >= self._rings_at or self.expired:
            return
        if self._timer:
            self._timer.cancel()
        self._rings_at = due_at
        self._timer = asyncio.get_running_loop().call_at(due_at, self._ring)

    def _ring(self) -> None:
        rang_at, self._rings_at = self._rings_at, math.inf
        due_at = None if self._asked_at is None else self._due_at(self._began_at, self._asked_at)
        if due_at is not None and due_at <= rang_at:
            self._deadline.reschedule(due_at)
        else:
            self.look_again()


class Stoppable(Protocol):
    """An utterance or a recognition of an engine."""

    async def cancel(self) -> None:
        """Stop now."""


class within:  # noqa: N801 - reads as asyncio.timeout does
    """Bounds the time of an `async with` block.

    Args:
        seconds: How long it may take.
        complaint: What the error says, before the setting and its value.
        setting: Where `seconds` comes from.

    Raises:
        EngineTimeout: It took longer.
    """

    def __init__(self, seconds: float, complaint: str, setting: str) -> None:
        self._deadline = asyncio.timeout(seconds)
        self._seconds = seconds
        self._complaint = complaint
        self._setting = setting

    async def __aenter__(self) -> None:
        await self._deadline.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._deadline.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise EngineTimeout(f"{self._complaint} {self._setting} = {self._seconds:g}") from None


async def stop(work: Stoppable, use: Use[Any]) -> None:
    """Stop `work`; a client that does not in time is closed when its use ends, instead of serving again."""
    has_stopped = False
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await work.cancel()
        has_stopped = True
    except (TimeoutError, SpeechError):
        return  # why it was to stop is what the caller tells
    finally:
        if not has_stopped:
            use.discard()
