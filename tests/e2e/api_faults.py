"""A gateway before a real API server, which answers as an overloaded or broken one would when it is told to."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from tests.cluster.apiserver import ApiServer

from speechpool_operator.kube_access import Access, from_kubeconfig

__all__ = ["CLOSE", "HANG", "Gateway", "gateway"]

CLOSE = "close"
"""Break the connection off in place of an answer."""
HANG = "hang"
"""Never answer."""


class Gateway:
    """Passes requests on, but for those it has a fault for.

    Args:
        access: How to reach it.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.faults: deque[str | tuple[int, dict[str, str]]] = deque()
        self.seen: list[str] = []
        self.is_flowing = asyncio.Event()
        self.is_flowing.set()
        self.injected: deque[dict[str, object]] = deque()
        self._watches: list[asyncio.Event] = []

    def inject(self, event: dict[str, object]) -> None:
        """Put an event into the watch that runs, or the next one, and end it."""
        self.injected.append(event)
        for each in self._watches:
            each.set()

    async def handle(self, request: web.BaseRequest, session: aiohttp.ClientSession, server: str) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path_qs}")
        fault = self.faults.popleft() if self.faults else None
        if fault == HANG:
            await asyncio.sleep(3600)
        if fault == CLOSE:
            assert request.transport
            request.transport.abort()
            raise ConnectionResetError
        if isinstance(fault, tuple):
            return web.json_response({"reason": "Fault", "message": "a fault"}, status=fault[0], headers=fault[1])
        headers = {name: request.headers[name] for name in ("accept", "content-type") if name in request.headers}
        url = server + request.path_qs
        async with session.request(request.method, url, headers=headers, data=await request.read() or None) as reply:
            answer = web.StreamResponse(status=reply.status, headers={"content-type": "application/json"})
            await answer.prepare(request)
            try:
                await (self._pass_on if "watch=1" in request.path_qs else self._copy)(reply, answer)
            finally:
                if reply.connection and reply.connection.transport:
                    reply.connection.transport.abort()  # a TLS goodbye would outlive the test
            return answer

    async def _pass_on(self, reply: aiohttp.ClientResponse, answer: web.StreamResponse) -> None:
        interrupted = asyncio.Event()
        self._watches.append(interrupted)
        if self.injected:
            interrupted.set()
        reading = asyncio.ensure_future(self._copy(reply, answer))
        ending = asyncio.ensure_future(interrupted.wait())
        try:
            await asyncio.wait([reading, ending], return_when=asyncio.FIRST_COMPLETED)
            while interrupted.is_set() and self.injected:
                await answer.write(json.dumps(self.injected.popleft()).encode() + b"\n")
        finally:
            self._watches.remove(interrupted)
            reading.cancel()
            ending.cancel()
            await asyncio.gather(reading, ending, return_exceptions=True)  # the client may have gone first

    async def _copy(self, reply: aiohttp.ClientResponse, answer: web.StreamResponse) -> None:
        async for part in reply.content.iter_any():
            await self.is_flowing.wait()
            await answer.write(part)


@contextlib.asynccontextmanager
async def gateway(api: ApiServer) -> AsyncIterator[Gateway]:
    """A gateway on a free port of loopback, without TLS."""
    behind = from_kubeconfig(api.kubeconfig())
    assert behind.tls
    connector = aiohttp.TCPConnector(ssl=behind.tls(), limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await made.handle(request, session, behind.server)

        server = web.Server(handle, handler_cancellation=True)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        made = Gateway(Access(server=f"http://127.0.0.1:{port}", namespace="default", tls=None))
        try:
            yield made
        finally:
            listening.close()
            await server.shutdown(0.1)
            await session.close()
            await asyncio.sleep(0.1)  # asyncio ends TLS connections after it said that they are closed
