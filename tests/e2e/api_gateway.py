"""A gateway before a real API server: it answers in its place, and ends, holds or silences watches, as it is told."""

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from tests.cluster.apiserver import ApiServer
from tests.e2e.beside import beside

from speechpool_operator.kube_access import Access, from_kubeconfig

__all__ = ["CLOSE", "HANG", "Gateway", "gateway", "open_gateway"]

Fault = str | tuple[int, Mapping[str, str]]
"""CLOSE, HANG, or a status with headers."""

CLOSE = "close"
"""Break the connection off in place of an answer."""
HANG = "hang"
"""Never answer."""

FOR_EVER_SECONDS = 3600
PASSED_ON = ("accept", "authorization", "content-type")
PASSED_BACK = ("content-type", "retry-after")
EXPIRED = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"},
}


@dataclass(eq=False)
class _Watch:
    """One watch that is under way."""

    last: Mapping[str, Any] | None = None
    is_ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_silent: bool = False

    def end(self, event: Mapping[str, Any]) -> None:
        self.last = event
        self.is_ended.set()


class Gateway:
    """Passes requests on, but for what it is told to do. What it can be told may be told from any thread.

    Args:
        api: The API server.
        trust: TLS to it; with a client certificate everybody has the rights of that, else of his own token.
    """

    def __init__(self, api: ApiServer, trust: ssl.SSLContext) -> None:
        self._api = api
        self._trust = trust
        self._loop = asyncio.get_running_loop()
        self._watches: list[_Watch] = []
        self._faults: list[tuple[re.Pattern[str], Fault]] = []
        self._next_end: Mapping[str, Any] | None = None
        self.is_flowing = asyncio.Event()
        """Cleared, no answer goes on."""
        self.is_flowing.set()
        self.port = 0
        self.seen: list[str] = []
        """Method and path of each request."""
        self.reviewed: list[str] = []
        """The tokens that the API server was asked about, the last one last."""

    @property
    def access(self) -> Access:
        """The way to the API server by this one."""
        return Access(server=f"http://127.0.0.1:{self.port}", namespace="default", tls=None)

    def kubeconfig(self, of: Path) -> Path:
        """A kubeconfig like another, but by way of this gateway."""
        config = yaml.safe_load(of.read_text())
        config["clusters"][0]["cluster"] = {"server": self.access.server}
        made = of.with_suffix(".gateway")
        made.write_text(json.dumps(config))
        return made

    # --- what it can be told ---

    def fail(self, fault: Fault, times: int = 1, asked: str = "") -> None:
        """Answer the next so many requests, whose method and path match, with a fault."""
        self._faults += [(re.compile(asked), fault)] * times

    def forgive(self) -> None:
        """Answer all as they should be."""
        self._faults.clear()

    @property
    def owes(self) -> int:
        """How many faults nobody has had yet."""
        return len(self._faults)

    def end_watches(self, event: Mapping[str, Any] = EXPIRED) -> None:
        """End each watch, or the next one where there is none, with an event.

        By default as the API server does when it does not remember so far back.
        """
        self._loop.call_soon_threadsafe(self._end_watches, event)

    def silence(self) -> None:
        """Let no watch that there is hear anything more, nor notice that."""
        for each in self._watches:
            each.is_silent = True

    # --- within ---

    async def handle(self, request: web.BaseRequest, session: aiohttp.ClientSession) -> web.StreamResponse:
        """Answer one request."""
        asked = f"{request.method} {request.path_qs}"
        self.seen.append(asked)
        if fault := self._fault(asked):
            return await _failed(request, fault)
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        url, body = self._api.url + request.path_qs, await request.read()
        if request.path.endswith("/tokenreviews"):
            self.reviewed.append(json.loads(body)["spec"]["token"])
        try:
            async with session.request(
                request.method, url, headers=headers, data=body or None, ssl=self._trust
            ) as reply:
                return await self._pass_on(request, reply)
        except aiohttp.ClientError:
            return await _failed(request, CLOSE)  # as the API server's own connections break when it dies

    def _fault(self, asked: str) -> Fault | None:
        found = next((each for each in self._faults if each[0].search(asked)), None)
        if found:
            self._faults.remove(found)
        return found[1] if found else None

    def _end_watches(self, event: Mapping[str, Any]) -> None:
        self._next_end = None if self._watches else event
        for each in self._watches:
            each.end(event)

    async def _pass_on(self, request: web.BaseRequest, reply: aiohttp.ClientResponse) -> web.StreamResponse:
        answer = web.StreamResponse(
            status=reply.status, headers={name: reply.headers[name] for name in PASSED_BACK if name in reply.headers}
        )
        await answer.prepare(request)
        try:
            if "watch=" in request.path_qs and reply.status == 200:
                await self._watch(reply, answer)
            else:
                await self._copy(reply, answer, _Watch())
        finally:
            if reply.connection and reply.connection.transport:
                reply.connection.transport.abort()  # a TLS goodbye would outlive the test
        return answer

    async def _watch(self, reply: aiohttp.ClientResponse, answer: web.StreamResponse) -> None:
        watch = _Watch()
        self._watches.append(watch)
        if self._next_end:
            self._end_watches(self._next_end)
        copying = asyncio.ensure_future(self._copy(reply, answer, watch))
        ending = asyncio.ensure_future(watch.is_ended.wait())
        try:
            await asyncio.wait([copying, ending], return_when=asyncio.FIRST_COMPLETED)
            if watch.last:
                await answer.write(json.dumps(watch.last).encode() + b"\n")
            elif watch.is_silent:
                await asyncio.sleep(FOR_EVER_SECONDS)
        finally:
            self._watches.remove(watch)
            copying.cancel()
            ending.cancel()
            await asyncio.gather(copying, ending, return_exceptions=True)  # the client may have gone first

    async def _copy(self, reply: aiohttp.ClientResponse, answer: web.StreamResponse, watch: _Watch) -> None:
        async for part in reply.content.iter_any():
            await self.is_flowing.wait()
            if not watch.is_silent:
                await answer.write(part)


async def _failed(request: web.BaseRequest, fault: Fault) -> web.Response:
    if fault == HANG:
        await asyncio.sleep(FOR_EVER_SECONDS)
    if not isinstance(fault, tuple):
        assert request.transport
        request.transport.abort()
        raise ConnectionResetError
    status, headers = fault
    return web.json_response(
        {"kind": "Status", "reason": "Fault", "message": "a fault", "code": status}, status=status, headers=headers
    )


@contextlib.asynccontextmanager
async def open_gateway(api: ApiServer, *, is_admin: bool = True) -> AsyncIterator[Gateway]:
    """A gateway on a free port of loopback, without TLS.

    Args:
        api: The API server.
        is_admin: Whether everybody has the administrator's rights behind it.
    """
    admin = from_kubeconfig(api.kubeconfig()).tls
    assert admin
    trust = admin() if is_admin else ssl.create_default_context(cafile=str(api.directory / "ca.crt"))
    made = Gateway(api, trust)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        server = web.Server(lambda request: made.handle(request, session), handler_cancellation=True)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        made.port = listening.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            listening.close()
            await server.shutdown(0.1)
    await asyncio.sleep(0.1)  # asyncio ends TLS connections after it said that they are closed


@contextlib.contextmanager
def gateway(api: ApiServer) -> Iterator[Gateway]:
    """A gateway in a thread of its own, behind which everybody has his own rights."""
    with beside(open_gateway(api, is_admin=False), "gateway") as made:
        yield made
