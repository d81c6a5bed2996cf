"""The threads in which Azure's SDK is called: its calls block, some for 80 s, and dropping a client blocks too.

All are daemon threads of our own: the loop's default executor stays free for others, and a call that never returns
does not hold up the end of the process.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from speechpool.errors import EngineFailed
from speechpool.speech.azure.bridge import Bridge

__all__ = ["SdkThreads"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_IDLE_SECONDS = 30.0  # guess: longer than the pauses of a conversation
_DISPOSING_THREADS = 64  # more clients than that to dispose of at once wait for one another


class SdkThreads:
    """Threads for the SDK's calls, and others that stop and release what is no longer wanted.

    Args:
        limit: Most calls of `run()` at once, and as many of `start()`; each utterance under way is one of those.
            Further ones wait, each kind for itself: an utterance may need a short call to come to its end.
        dispose_limit_seconds: A disposal that takes longer counts as stuck. The longest that ends by itself is a
            recogniser's (10 s, measured with a silent service).
    """

    def __init__(self, *, limit: int = 256, dispose_limit_seconds: float = 15.0) -> None:
        self._calls = _Crew("speechpool-sdk-call", limit)
        self._long_calls = _Crew("speechpool-sdk", limit)
        self._disposals = _Crew("speechpool-reaper", _DISPOSING_THREADS)
        self._dispose_limit_seconds = dispose_limit_seconds
        self._disposing_since: dict[object, float] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<SdkThreads busy={self.busy} disposing={self.disposing} stuck={self.stuck}>"

    @property
    def busy(self) -> int:
        """Calls under way or waiting."""
        return self._calls.outstanding + self._long_calls.outstanding

    @property
    def disposing(self) -> int:
        """Disposals under way or waiting."""
        return self._disposals.outstanding

    @property
    def stuck(self) -> int:
        """Disposals that take longer than their limit."""
        overdue_since = time.monotonic() - self._dispose_limit_seconds
        return sum(since < overdue_since for since in list(self._disposing_since.values()))

    async def run(self, function: Callable[..., T], /, *args: object, discard: Callable[[T], None] | None = None) -> T:
        """The result of `function(*args)`, called in a thread.

        A caller who is cancelled does not stop the call; its result is then disposed of by `discard(result)`.

        Raises:
            EngineFailed: `close()` was called.
            Exception: What the function raised, without its frames: they would hold the SDK's objects.
        """
        self._check_open()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.submit(partial(self._call, Bridge(), answer, partial(function, *args), discard))
        return await answer

    def start(self, function: Callable[..., None], /, *args: object) -> None:
        """Call `function(*args)`, which may take long, in a thread, and return at once; it raises nothing.

        Raises:
            EngineFailed: `close()` was called.
        """
        self._check_open()
        self._long_calls.submit(partial(function, *args))

    def dispose(self, work: Callable[[], None], *, name: str) -> None:
        """Stop or release something of the SDK's in a thread of the reaper's; returns at once, works after `close()`.

        Args:
            work: Must hold the last reference to it.
            name: What it is, for the log.
        """
        self._disposals.submit(partial(self._dispose, work, name))

    async def close(self, limit_seconds: float) -> bool:
        """Take no more calls, and wait until all work is done.

        Returns:
            Whether all was done within `limit_seconds`; what is not goes on, and ends with the process.
        """
        self._closed = True
        self._calls.close()
        self._long_calls.close()
        quiet = asyncio.Event()
        bridge = Bridge()
        for crew in (self._calls, self._long_calls, self._disposals):
            crew.on_done(lambda: bridge.post(quiet.set))
        try:
            async with asyncio.timeout(limit_seconds):
                while self.busy or self.disposing:
                    quiet.clear()
                    await quiet.wait()
        except TimeoutError:
            logger.warning("left calls of the SDK behind", extra={"busy": self.busy, "disposing": self.disposing})
            return False
        finally:
            self._disposals.close()
        return True

    def _check_open(self) -> None:
        if self._closed:
            raise EngineFailed("the engine is closed")

    # --- in a thread ---

    def _call(
        self, bridge: Bridge, answer: asyncio.Future[T], call: Callable[[], T], discard: Callable[[T], None] | None
    ) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - the caller gets it, whatever it is
            bridge.post(_fail, answer, error.with_traceback(None))
            return
        if not bridge.post(self._settle, answer, result, discard) and discard:
            discard(result)  # there is no loop any more

    def _dispose(self, work: Callable[[], None], name: str) -> None:
        key = object()
        began_at = self._disposing_since[key] = time.monotonic()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the SDK raises RuntimeError and ValueError; what it held is gone
            logger.warning("disposal failed", extra={"what": name, "error": type(error).__name__})
        finally:
            del self._disposing_since[key]
        seconds = time.monotonic() - began_at
        if seconds > self._dispose_limit_seconds:
            logger.warning("disposal was stuck", extra={"what": name, "seconds": round(seconds, 1)})

    # --- on the loop ---

    def _settle(self, answer: asyncio.Future[T], result: T, discard: Callable[[T], None] | None) -> None:
        if not answer.done():
            answer.set_result(result)
        elif discard:
            self.dispose(partial(discard, result), name="unwanted result")


def _fail(answer: asyncio.Future[T], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


class _Crew:
    """Daemon threads that take work from one queue; made when none is idle, ended when idle for long.

    Args:
        name: Of the threads.
        limit: Most threads.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._queue: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._outstanding = 0
        self._closed = False
        self._tell_done: Callable[[], object] = lambda: None

    @property
    def outstanding(self) -> int:
        """Work under way or waiting."""
        return self._outstanding

    def on_done(self, tell: Callable[[], object]) -> None:
        """Call `tell()`, in a thread, whenever a piece of work is done."""
        self._tell_done = tell

    def submit(self, work: Callable[[], None]) -> None:
        with self._changed:
            self._queue.append(work)
            self._outstanding += 1
            if self._idle >= len(self._queue):
                self._changed.notify()
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def close(self) -> None:
        """Let idle threads end; work that still comes is done all the same."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _serve(self) -> None:
        while work := self._next():
            try:
                work()
            finally:
                del work  # it may hold the last reference to a client, and the next wait is long
                with self._changed:
                    self._outstanding -= 1
                self._tell_done()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._queue or self._closed, timeout=_IDLE_SECONDS)
            self._idle -= 1
            if self._queue:
                return self._queue.popleft()
            self._threads -= 1  # here, under the lock: who submits next must not count on this thread
            return None
