"""A Service in front of several operators, as Kubernetes has it: a connection goes to one that is ready."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

import aiohttp
from tests.cluster.operators import Operator
from tests.e2e.beside import beside

__all__ = ["Service", "service"]

PROBE_SECONDS = 0.2
"""Between two looks at who is ready; the kubelet looks once a second or less often."""


class Service:
    """Forwards connections to whoever is ready; which is looked at all the time, as a kubelet does.

    Args:
        telemetry: The URL of each operator's telemetry, known from its start.
        address: Of each operator's streams, where it listens from when it leads.
    """

    def __init__(self, operators: Sequence[Operator], addresses: Sequence[str]) -> None:
        self._targets = list(zip([each.telemetry for each in operators], addresses, strict=True))
        self._pipes: set[asyncio.Task[None]] = set()
        self.ready: list[frozenset[str]] = []
        """Who was ready at each look."""
        self.address = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Service"]:
        """Serve while the context is open."""
        listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        looking = asyncio.ensure_future(self._look())
        try:
            yield self
        finally:
            looking.cancel()
            listening.close()
            for each in self._pipes:
                each.cancel()
            await asyncio.gather(looking, *self._pipes, return_exceptions=True)

    async def _look(self) -> None:
        timeout = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                found = [address for url, address in self._targets if await _is_ready(session, url)]
                self.ready.append(frozenset(found))
                await asyncio.sleep(PROBE_SECONDS)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._pipes.add(task)
        try:
            await self._forward(reader, writer)
        finally:
            self._pipes.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = next(iter(self.ready[-1] if self.ready else ()), None)
        if target is None:
            return
        host, _, port = target.rpartition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            return
        pipes = [asyncio.ensure_future(_pipe(reader, back)), asyncio.ensure_future(_pipe(there, writer))]
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pipes:
                each.cancel()
            back.transport.abort()


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as reply:
            return reply.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def service(operators: Sequence[Operator], addresses: Sequence[str]) -> Iterator[Service]:
    """A Service in front of these."""
    with beside(Service(operators, addresses).serving(), "service") as made:
        yield made
