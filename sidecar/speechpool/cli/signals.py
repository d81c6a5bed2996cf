"""What signals mean to the sidecar: the first asks it to stop, the second ends it; SIGHUP re-reads the settings."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Self

__all__ = ["Signals"]

logger = logging.getLogger(__name__)

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Takes the signals while the context is open, on the running loop.

    Args:
        end_now: Called with the signal's number when a second one asks to stop; does not return.
    """

    def __init__(self, end_now: Callable[[int], None]) -> None:
        self._end_now = end_now
        self._on_hangup: Callable[[], object] | None = None
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self._asked_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (*_STOPPING, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def on_hangup(self, callback: Callable[[], object]) -> None:
        """Call this at each SIGHUP; until then SIGHUP does nothing."""
        self._on_hangup = callback

    async def wait_for_stop(self) -> None:
        """Return when SIGTERM or SIGINT has come."""
        await self._stop.wait()

    def _asked_to_stop(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._stop.is_set():
            logger.warning("second signal: ending at once", extra={"signal": name})
            self._end_now(number)
        logger.info("sidecar stopping", extra={"signal": name})
        self._stop.set()

    def _hung_up(self) -> None:
        if self._on_hangup:
            self._on_hangup()
