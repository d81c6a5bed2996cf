"""Many connections, and those that are there only to take room: bounded, and the others are served."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
from tests.e2e.config_streams import (
    NAME,
    hear,
    namespace,
    on_both_loops,
    request_head,
    serving,
    settings,
    sidecar_token,
)

from speechpool.settings.wire import Hello, NewSettings, encode
from speechpool_operator.identity import PodIdentity
from speechpool_operator.listener import Connection, EntryLimits, Listener, listening_socket

__all__ = ["namespace", "sidecar_token"]

SIDECARS = 500


def pod_of(token):
    return PodIdentity(namespace="calls", name=token, uid=token, service_account="a", metadata={}, expires_at=2e9)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def lost(reader):
    """Wait for the other side to close."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(60):
            while await reader.read(4096):
                pass


@on_both_loops
async def test_a_connection_that_never_begins_tls_is_closed(api, tmp_path, sidecar_token):
    entry = EntryLimits(turn_seconds=0.5)
    async with serving(api, tmp_path, entry=entry) as served:
        async with served.connect(tls=False) as (reader, _):
            await lost(reader)
        assert served.server.refused["TooSlow"] + served.server.refused["NoTls"] == 1
        async with served.sidecar(sidecar_token):
            assert served.server.streams == 1


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /v1/stream HTTP/1.1\r\n", b"GET /v1/stream HTTP/1.1\r\nhost: x\r\nx: "],
    ids=["no", "line", "head"],
)
@on_both_loops
async def test_a_request_that_never_ends_is_closed(api, tmp_path, sent):
    async with serving(api, tmp_path, entry=EntryLimits(turn_seconds=0.5)) as served:
        async with served.connect() as (reader, writer):
            writer.write(sent)
            await lost(reader)
        assert served.server.refused["TooSlow"] == 1


@on_both_loops
async def test_a_head_that_is_too_large_or_no_http_is_refused(api, tmp_path, caplog):
    async with serving(api, tmp_path) as served:
        for sent in (
            b"GET /v1/stream HTTP/1.1\r\nauthorization: Bearer " + b"secret" * 4000,
            b"\x16\x03secret\r\n\r\n",
        ):
            async with served.connect() as (reader, writer):
                writer.write(sent)
                assert (await reader.read(12)) in (b"", b"HTTP/1.1 400", b"HTTP/1.0 400")
                await lost(reader)
    assert "secret" not in caplog.text


@on_both_loops
async def test_what_is_no_stream_is_refused(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path) as served:
        assert await served.refused(sidecar_token, path="/v2/stream") == 404
        assert await served.refused(sidecar_token, protocols=("other.v1",)) == 400
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=served.trust())) as session:
            url = f"https://127.0.0.1:{served.port}/v1/stream"
            async with session.get(url, server_hostname=NAME) as reply:
                assert reply.status == 400
                assert reply.headers["connection"] == "close"
        assert served.server.refused == {"NotFound": 1, "NoStream": 2}


@on_both_loops
async def test_slow_strangers_hold_up_their_own_address_only(api, tmp_path, sidecar_token):
    """Each address has turns and places of its own."""
    entry = EntryLimits(turns=8, turns_per_address=2, waiting_per_address=20, turn_seconds=60, wait_seconds=60)
    async with serving(api, tmp_path, entry=entry) as served, contextlib.AsyncExitStack() as strangers:
        for _ in range(60):
            await strangers.enter_async_context(served.connect(tls=False, local_addr=("127.0.0.2", 0)))
        async with served.sidecar(sidecar_token) as stream:  # from 127.0.0.1
            [cell] = served.fleet.cells.values()
            cell.put(settings(1))
            assert await hear(stream, NewSettings) == settings(1)
        assert served.server.refused["TooManyOfAnAddress"] == 40


@on_both_loops
async def test_silent_addresses_that_hold_every_turn_keep_no_new_sidecar_out(api, tmp_path, sidecar_token):
    """They have finished TLS and say nothing, and as many more of theirs wait: one of theirs makes room."""
    entry = EntryLimits(turns=8, turns_per_address=2, turn_seconds=600, wait_seconds=600)
    async with serving(api, tmp_path, entry=entry) as served, contextlib.AsyncExitStack() as strangers:
        silent = [f"127.0.0.{number}" for number in range(2, 6)]
        for tls in (True, True, False, False):
            for address in silent:
                await strangers.enter_async_context(served.connect(tls=tls, local_addr=(address, 0)))
        async with served.sidecar(sidecar_token):  # from 127.0.0.1
            assert served.server.streams == 1
        await served.ended("PeerClosed")
        async with served.sidecar(sidecar_token):
            assert served.server.refused == {"GaveWay": 2}


@on_both_loops
async def test_strangers_who_leave_leave_nothing_behind(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path, entry=EntryLimits(turn_seconds=60)) as served:
        async with served.sidecar(sidecar_token):
            pass
        await served.ended("PeerClosed")
        before = open_files()
        for round_ in range(20):
            async with served.connect(tls=bool(round_ % 2)):
                pass
        async with asyncio.timeout(60):
            while open_files() > before:  # noqa: ASYNC110 -- what the kernel has closed is told by nobody
                await asyncio.sleep(0.01)


@on_both_loops
async def test_five_hundred_sidecars_at_once_are_all_served(api, tmp_path):
    """They dial at once, get their settings, and one change reaches all; nobody's connection stays behind."""

    async def identify(token: str) -> PodIdentity:  # the API server's part is proved elsewhere, and is not the crowd's
        return pod_of(token)

    before = open_files()
    patient = {"entry": EntryLimits(turn_seconds=60, wait_seconds=60), "hello_seconds": 60, "heartbeat_seconds": 60}
    async with (
        serving(api, tmp_path, identify=identify, **patient) as served,
        contextlib.AsyncExitStack() as all_of_them,
    ):
        streams = await asyncio.gather(
            *(all_of_them.enter_async_context(served.dial(f"pod-{number}")) for number in range(SIDECARS))
        )
        await asyncio.gather(*(stream.send_str(encode(Hello(version="1"))) for stream in streams))
        await served.fleet.until(lambda: len(served.fleet.cells) == SIDECARS)
        for cell in served.fleet.cells.values():
            cell.put(settings(1))
            cell.put(settings(2))
        heard = await asyncio.gather(*(hear(stream, NewSettings) for stream in streams))
        assert {message.revision.generation for message in heard} == {2}
        assert served.server.counts.pushed == SIDECARS
        await all_of_them.aclose()
        await served.fleet.until(lambda: len(served.fleet.left) == SIDECARS)
        assert served.server.endings["PeerClosed"] == SIDECARS
        assert not served.server.refused
    assert open_files() <= before + 20  # uvloop and the API client keep a few of their own


@on_both_loops
async def test_a_flood_of_connections_leaves_time_for_everything_else():
    """Those that wait to be accepted are accepted one in each turn of the loop, and not all in one."""
    count, turns = 200, 0
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(listening_socket("127.0.0.1", 0))
        for _ in range(count):
            stack.enter_context(socket.create_connection(sock.getsockname()))
        refusing = EntryLimits(waiting_per_address=0)
        listener = Listener(sock, tls=ssl.create_default_context, protocol=Connection, limits=refusing)
        running = asyncio.ensure_future(listener.run())
        async with asyncio.timeout(60):
            while listener.refused.total() < count:
                turns += 1
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
    assert turns >= count


class Slow:
    """Finds out who somebody is when it is told to, or never."""

    def __init__(self):
        self.asked, self.may_answer, self.is_over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, token):
        self.asked.set()
        try:
            await self.may_answer.wait()
        finally:
            self.is_over.set()
        return pod_of(token)


@on_both_loops
async def test_what_is_asked_for_a_connection_that_is_gone_is_not_asked_for_ever(api, tmp_path):
    """As while the API server hangs: whoever waits for it is sent away, and what waited for him is over too."""
    slow = Slow()
    async with serving(api, tmp_path, identify=slow, entry=EntryLimits(turn_seconds=0.5)) as served:
        async with served.connect() as (reader, writer):
            writer.write(request_head("pod-0"))
            await lost(reader)
        async with asyncio.timeout(60):
            await slow.is_over.wait()


@on_both_loops
async def test_a_sidecar_that_leaves_before_it_is_known_is_no_trouble(api, tmp_path, caplog):
    slow = Slow()
    async with serving(api, tmp_path, identify=slow) as served:
        async with served.connect() as (_, writer), asyncio.timeout(60):
            writer.write(request_head("pod-0"))
            await slow.asked.wait()
        slow.may_answer.set()
        async with served.sidecar("pod-1"):
            assert served.server.streams == 1
            assert served.server.refused == {"Gone": 1}
    assert "stream failed" not in caplog.messages
