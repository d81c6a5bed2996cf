"""How much audio may wait between the thread that reads it and the loop that hands it on."""

import threading

__all__ = ["Window"]


class Window:
    """Counts what waits; for two threads.

    Args:
        limit_bytes: From this much on, the reader waits.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nobody takes anything any more."""
        return self._closed

    def put(self, size: int) -> None:
        """So many bytes wait now, too."""
        with self._changed:
            self._waiting_bytes += size

    def take(self, size: int) -> None:
        """So many bytes were taken."""
        with self._changed:
            was_full = self._is_full
            self._waiting_bytes -= size
            if was_full and not self._is_full:
                self._changed.notify_all()

    def wait(self) -> None:
        """Wait until there is room, or nobody wants more. As long as the consumer takes: its pace is the producer's."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._is_full)

    def close(self) -> None:
        """Nobody takes anything any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def _is_full(self) -> bool:
        return self._waiting_bytes >= self._limit_bytes
