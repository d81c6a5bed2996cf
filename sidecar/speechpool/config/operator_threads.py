"""Calls that block (files, names of hosts), made where they hold up neither the loop nor the end of the process.

The loop's own executor is waited for when the loop ends, and a name server that does not answer takes half a minute.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["HostNames", "SideThreads"]

T = TypeVar("T")


class SideThreads:
    """Runs each call in a daemon thread of its own.

    Args:
        limit: Most calls at once; those that hang count too.
    """

    def __init__(self, limit: int = 4) -> None:
        self._limit = limit
        self._running = 0

    async def call(self, function: Callable[[], T]) -> T:
        """The function's result. A caller who is cancelled leaves the call behind.

        Raises:
            OSError: As many calls as are allowed have not come back.
            Exception: What the function raised.
        """
        if self._running >= self._limit:
            raise OSError(f"{self._limit} earlier reads of files or names have not come back")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            self._running -= 1
            if answer.done():
                return
            if error:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type] # without an error it is T

        def work() -> None:
            result, error = None, None
            try:
                result = function()
            except Exception as raised:  # noqa: BLE001 # handed to the caller
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody asks any more
                loop.call_soon_threadsafe(settle, result, error)

        self._running += 1
        threading.Thread(target=work, name="speechpool-side", daemon=True).start()
        return await answer


class HostNames(AbstractResolver):
    """Resolves host names for aiohttp.

    Args:
        threads: Where the names are asked for.
    """

    def __init__(self, threads: SideThreads) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            OSError: It has none, or the name servers do not answer.
        """
        found = await self._threads.call(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""
