"""What signals mean to each program of the control plane: the first asks it to stop, the second ends it."""

import asyncio
import logging
import os
import signal
from typing import Self

__all__ = ["Signals"]

logger = logging.getLogger(__name__)

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Takes the signals while the context is open, on the running loop."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        for number in _STOPPING:
            asyncio.get_running_loop().add_signal_handler(number, self._asked_to_stop, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in _STOPPING:
            asyncio.get_running_loop().remove_signal_handler(number)

    @property
    def is_stopping(self) -> bool:
        """Whether the first has come."""
        return self._stop.is_set()

    async def wait_for_stop(self) -> None:
        """Return when it has."""
        await self._stop.wait()

    def _asked_to_stop(self, number: int) -> None:
        name = signal.Signals(number).name
        if self.is_stopping:
            logger.warning("second signal: ending at once", extra={"signal": name})
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        logger.info("stopping", extra={"signal": name})
        self._stop.set()
