"""A gateway between an operator's process and the API server: it answers for it, expires watches, or lets them die."""

import asyncio
import contextlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiServer

__all__ = ["Gateway", "gateway"]

PASSED_ON = ("accept", "authorization", "content-type")
EXPIRED = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"},
}


class Gateway:
    """Passes requests on with the rights of whoever asks, but for what it is told to do.

    All of it runs on an event loop in a thread of its own; its methods are for other threads.

    Args:
        api: The API server.
    """

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._watches: dict[asyncio.Task[Any], asyncio.Event] = {}
        self._refusals: list[tuple[re.Pattern[str], int, dict[str, str]]] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self.port = 0
        self.refused = 0
        """How many requests it refused itself."""
        self.reviewed: list[str] = []
        """The tokens that the API server was asked about, the last one last."""

    def run(self) -> None:
        """Serve until `stop`."""
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def wait_started(self) -> None:
        """Wait until it serves."""
        assert self._started.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        """End; all connections are broken off."""
        self._loop.call_soon_threadsafe(self._stop.set)

    def kubeconfig(self, of: Path) -> Path:
        """A kubeconfig like another, but by way of this gateway."""
        config = yaml.safe_load(of.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        made = of.with_suffix(".gateway")
        made.write_text(json.dumps(config))
        return made

    # --- what it can be told ---

    def refuse(self, pattern: str, status: int, times: int = 1, **headers: str) -> None:
        """Answer the next so many requests, whose method and path match, in place of the API server."""
        self._refusals += [(re.compile(pattern), status, headers)] * times

    @property
    def owes(self) -> int:
        """How many refusals nobody has had yet."""
        return len(self._refusals)

    @property
    def watches(self) -> int:
        """Watches that are under way, the silenced ones too."""
        return len(self._watches)

    def expire(self) -> None:
        """End each watch as the API server does when it does not remember so far back."""
        self._loop.call_soon_threadsafe(lambda: [each.set() for each in self._watches.values()])

    def silence(self) -> None:
        """Let no watch that there is hear anything more, nor notice that."""
        for each in self._watches:
            each.set_name("silenced")

    # --- within ---

    async def _serve(self) -> None:
        connector = aiohttp.TCPConnector(
            ssl=ssl.create_default_context(cafile=str(self._api.directory / "ca.crt")), limit=0
        )
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
            server = web.Server(lambda request: self._handle(request, session), handler_cancellation=True)
            listening = await self._loop.create_server(server, "127.0.0.1", 0)
            self.port = listening.sockets[0].getsockname()[1]
            self._started.set()
            await self._stop.wait()
            listening.close()
            await server.shutdown(0.1)
        await asyncio.sleep(0.1)  # TLS connections are closed in turns of the loop to come

    async def _handle(self, request: web.BaseRequest, session: aiohttp.ClientSession) -> web.StreamResponse:
        if refusal := self._refusal(f"{request.method} {request.path_qs}"):
            self.refused += 1
            body = {"kind": "Status", "reason": "Refused", "message": "by the gateway", "code": refusal[1]}
            return web.json_response(body, status=refusal[1], headers=refusal[2])
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        url, body = self._api.url + request.path_qs, await request.read()
        if request.path.endswith("/tokenreviews"):
            self.reviewed.append(json.loads(body)["spec"]["token"])
        try:
            async with session.request(request.method, url, headers=headers, data=body or None) as reply:
                return await self._pass_on(request, reply)
        except aiohttp.ClientError:
            assert request.transport
            request.transport.abort()  # as the API server's own connections break when it dies
            raise ConnectionResetError from None

    def _refusal(self, asked: str) -> tuple[re.Pattern[str], int, dict[str, str]] | None:
        found = next((each for each in self._refusals if each[0].search(asked)), None)
        if found:
            self._refusals.remove(found)
        return found

    async def _pass_on(self, request: web.BaseRequest, reply: aiohttp.ClientResponse) -> web.StreamResponse:
        answer = web.StreamResponse(status=reply.status, headers=_headers(reply))
        await answer.prepare(request)
        try:
            if "watch=" in request.path_qs and reply.status == 200:
                await self._watch(reply, answer)
            else:
                await _copy(reply, answer)
        finally:
            if reply.connection and reply.connection.transport:
                reply.connection.transport.abort()
        return answer

    async def _watch(self, reply: aiohttp.ClientResponse, answer: web.StreamResponse) -> None:
        task = asyncio.current_task()
        assert task
        expired = self._watches[task] = asyncio.Event()
        copying = asyncio.ensure_future(_copy(reply, answer, of=task))
        expiring = asyncio.ensure_future(expired.wait())
        try:
            await asyncio.wait([copying, expiring], return_when=asyncio.FIRST_COMPLETED)
            if expired.is_set():
                await answer.write(json.dumps(EXPIRED).encode() + b"\n")
            elif task.get_name() == "silenced":
                await asyncio.sleep(3600)
        finally:
            del self._watches[task]
            copying.cancel()
            expiring.cancel()
            await asyncio.gather(copying, expiring, return_exceptions=True)


def _headers(reply: aiohttp.ClientResponse) -> dict[str, str]:
    kept = ("content-type", "retry-after")
    return {name: reply.headers[name] for name in kept if name in reply.headers}


async def _copy(
    reply: aiohttp.ClientResponse, answer: web.StreamResponse, of: "asyncio.Task[Any] | None" = None
) -> None:
    async for part in reply.content.iter_any():
        if of is None or of.get_name() != "silenced":
            await answer.write(part)


@contextlib.contextmanager
def gateway(api: ApiServer) -> Iterator[Gateway]:
    """A gateway on a free port of loopback, without TLS."""
    made = Gateway(api)
    thread = threading.Thread(target=made.run, name="gateway")
    thread.start()
    made.wait_started()
    try:
        yield made
    finally:
        made.stop()
        thread.join(PATIENCE_SECONDS)
