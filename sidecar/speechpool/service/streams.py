"""What utterances and recognitions have in common: a task that owns the client, a consumer that reads its events."""

import asyncio
import logging
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from speechpool.pools import AllocationTier
from speechpool.service.buffers import BufferClosed, EventBuffer
from speechpool.service.context import Context
from speechpool.service.events import Outcome
from speechpool.service.sessions import NO_CLAIM, Activity, Claim
from speechpool.speech.engine import UseReport

__all__ = ["EventStream"]

logger = logging.getLogger(__name__)

E = TypeVar("E")

_KINDS = {Activity.SPEAKING: "tts", Activity.LISTENING: "stt"}


class EventStream(Generic[E]):
    """One use of one client, as an async context manager and an async iterator of events.

    Its task acquires the client, works with it and gives it back, whatever happens to the consumer; the consumer takes
    events from a bounded buffer, so its pace is the engine's. The last event is the summary.

    Args:
        context: What all uses share.
        activity: What the session does meanwhile.
        session_id: The session that it is part of, or None.
        max_weight: Bound of the buffer.
    """

    def __init__(self, context: Context, activity: Activity, session_id: str | None, max_weight: int) -> None:
        self._context = context
        self._activity = activity
        self._session_id = session_id
        self._claim: Claim = NO_CLAIM
        # Each event with a mark: the seconds of audio that are out once it is taken.
        self._buffer: EventBuffer[tuple[E, float]] = EventBuffer(max_weight)
        self._task: asyncio.Task[None] | None = None
        self._entered: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._is_canceled = False
        self._is_summarized = False
        self._is_ending = False
        self._is_aborted = False
        self._began_at = 0.0
        self._ended_at: float | None = None
        self.tier = ""
        self.pool = ""
        self.wait_seconds = 0.0
        self.report = UseReport()
        self.is_warm_miss = False

    # --- what kinds of streams differ in ---

    def _admit(self) -> None:
        """Choose the pool, set its name, count the work; synchronously; raises where it cannot be done."""
        raise NotImplementedError

    async def _work(self) -> None:
        """Acquire, work, release; put events."""
        raise NotImplementedError

    def _on_taken(self, event: E, mark: float) -> None:
        """The consumer has the event now."""

    def _count(self) -> None:
        """Count what was done, once, at the end."""
        raise NotImplementedError

    def _summary(self) -> E:
        """The last event."""
        raise NotImplementedError

    # --- the consumer's side ---

    async def __aenter__(self) -> Self:
        """Acquire a client; what cannot be acquired is raised here."""
        self._begin_use()
        assert self._entered
        try:
            await self._entered
        except BaseException:
            await self._end()
            raise
        if self._error:
            raise self._error
        return self

    def _begin_use(self) -> None:
        if self._task:
            raise RuntimeError("a stream can be entered once")
        self._context.check_open()
        self._began_at = self._context.clock()
        self._claim = self._context.sessions.claim(self._session_id, self._activity, self)
        try:
            self._admit()
        except BaseException:
            self._claim.release()
            raise
        self._context.active.add(self)
        self._entered = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._work(), name="speechpool-" + self._activity)
        self._task.add_done_callback(self._on_end)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop what is under way; the client is given back before this returns, unless the service ends."""
        if self._context.is_accepting or not self._is_aborted:
            await self._end()

    def __aiter__(self) -> AsyncIterator[E]:
        """The events, in order; one consumer."""
        return self

    async def __anext__(self) -> E:
        """The next event.

        Raises:
            SpeechPoolError: What the use failed with; no event follows.
        """
        if self._task is None:
            raise RuntimeError("a stream has events only inside its `async with` block")
        try:
            event, mark = await self._buffer.get()
        except BufferClosed:
            if self._is_summarized:
                raise StopAsyncIteration from None
            self._is_summarized = True
            return self._summary()
        self._on_taken(event, mark)
        return event

    async def abort(self, error: BaseException) -> None:
        """End with `error` for the consumer, who need not wait for the engine; returns when the client is back."""
        self._buffer.clear()
        if self.is_active:
            self._error = self._error or error
            self._is_aborted = True
            self._buffer.close(self._error)
        await self._end()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What does the work; None before it is entered."""
        return self._task

    @property
    def is_active(self) -> bool:
        """Whether its task still runs."""
        return self._task is not None and not self._task.done()

    @property
    def outcome(self) -> Outcome:
        """Whether it was canceled."""
        return "canceled" if self._is_canceled else "completed"

    @property
    def error(self) -> BaseException | None:
        """What it failed with."""
        return self._error

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        return (self._context.clock() if self._ended_at is None else self._ended_at) - self._began_at

    async def _cancel_now(self) -> None:
        """End as canceled: what is buffered is dropped, the summary follows; returns when the client is back."""
        if self._error is None and not self._is_summarized:
            self._is_canceled = True
            self._buffer.clear()
        await self._end()

    async def _end(self) -> None:
        """Stop the task and wait until it has given its client back."""
        if self._task and not self._task.done():
            if not self._is_ending:  # a second cancel would break off the clean-up after the first
                self._is_ending = True
                self._task.cancel()
            # wait() leaves the task alone when this caller is cancelled once more: it cleans up by itself.
            await asyncio.wait({self._task})

    # --- the task's side ---

    def _acquired(self, tier: str, wait_seconds: float) -> None:
        """A client is there: the consumer may go on."""
        self.tier = tier
        self.wait_seconds += wait_seconds
        self.report = UseReport()
        self.is_warm_miss = False
        # Counted in the loop's next turn: the client begins first.
        facts = (self.pool, _KINDS[self._activity], tier, wait_seconds)
        asyncio.get_running_loop().call_soon(self._context.metrics.acquired, *facts)
        self._let_in()

    def _take_report(self, report: UseReport) -> None:
        """Note how the client serves, as known now; one that was not warm after all was cold."""
        self.report = report
        if report.was_warm or not self.tier or self.tier == AllocationTier.COLD.value:
            return
        self.tier = AllocationTier.COLD.value
        self.is_warm_miss = True
        self._context.metrics.missed_warmth(self.pool)
        facts = {"pool": self.pool, "endpoint": report.endpoint, "reference": report.reference}
        logger.info("client was not warm", extra={**facts, "connect_seconds": report.connect_seconds})

    def _let_in(self) -> None:
        if self._entered and not self._entered.done():
            self._entered.set_result(None)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """The client is back: tell the consumer how it ended. Runs once, whatever happened."""
        failure = None if task.cancelled() else task.exception()
        self._error = self._error or failure
        # Canceled by the consumer's leaving, or by whoever ends the loop.
        self._is_canceled = self._is_canceled or (task.cancelled() and self._error is None)
        self._ended_at = self._context.clock()
        self._context.active.discard(self)
        self._claim.release()
        self._count()
        if self._is_canceled:
            self._buffer.clear()
        self._buffer.close(None if self._is_canceled else self._error)
        self._let_in()
