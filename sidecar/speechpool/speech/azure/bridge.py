"""From threads of Azure's SDK, and of ours that call it, to the event loop: the only place where they meet."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple, Unpack

__all__ = ["Bridge", "Signal"]

logger = logging.getLogger(__name__)

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
V = TypeVar("V")
A = TypeVarTuple("A")


class Signal(Protocol[E_co]):
    """One kind of events of the SDK's (`EventSignal`)."""

    def connect(self, callback: Callable[[E_co], None]) -> None:
        """Call `callback(event)` for each, in a thread of the SDK's."""


class Bridge:
    """The way to the event loop that runs where this is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def post(self, function: Callable[[Unpack[A]], object], *args: *A) -> bool:
        """Call `function(*args)` on the loop, soon; from any thread.

        Returns:
            Whether there is a loop to call it on; False once it is closed.
        """
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed: an event of the SDK's that comes after the end
            return False
        return True

    def connect(self, signal: Signal[E], read: Callable[[E], V], hear: Callable[[V], object]) -> None:
        """Have the SDK's events read in its thread, and what was read heard on the loop.

        Args:
            signal: The SDK's own.
            read: Takes what is wanted out of the event, as something immutable; the event's native half is released
                with it, in the SDK's thread.
            hear: Called on the loop with what was read.
        """

        def relay(event: E) -> None:
            try:
                self.post(hear, read(event))
            except Exception as error:  # noqa: BLE001 - the SDK would swallow it without a word
                logger.error(  # noqa: TRY400 - a trace would show the text that the event is about
                    "an event of the SDK could not be read", extra={"error": type(error).__name__}
                )

        signal.connect(relay)
