"""The life of a stream, from hello to goodbye, on both event loops."""

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import time

import aiohttp
import pytest
from tests.e2e.config_streams import (
    APPLIED,
    NAME,
    PATIENCE_SECONDS,
    hear,
    issue,
    namespace,
    on_both_loops,
    request_head,
    say,
    serving,
    settings,
    sidecar_token,
)

from speechpool.settings.wire import MAX_SIDECAR_MESSAGE_BYTES, Bye, Heartbeat, Hello, NewSettings, NoSettings, Revision

__all__ = ["namespace", "sidecar_token"]


@on_both_loops
async def test_the_fleet_learns_who_is_there_and_what_it_applied_last(api, tmp_path, namespace, sidecar_token):
    applied = Revision(uid="an-object", generation=4, hash="four")
    async with serving(api, tmp_path) as served, served.dial(sidecar_token) as stream:
        await say(stream, Hello(version="9.9", applied=applied))
        await served.fleet.until(lambda: served.fleet.hellos)
        uid, hello = served.fleet.hellos[0]
        assert (hello.version, hello.applied) == ("9.9", applied)
        assert served.fleet.pods[uid].name == "voice"
        assert served.server.streams == 1
        await say(stream, APPLIED)
        await served.fleet.until(lambda: served.fleet.states)
        assert served.fleet.states == {uid: [APPLIED]}
        await stream.close()
        await served.fleet.until(lambda: served.fleet.left == [uid])
        assert served.server.streams == 0


@on_both_loops
async def test_settings_come_whole_and_none_says_that_there_are_none(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path) as served, served.sidecar(sidecar_token) as stream:
        [cell] = served.fleet.cells.values()
        cell.put(settings(7))
        assert await hear(stream, NewSettings) == settings(7)
        cell.put(NoSettings(reason="NoMatch"))
        assert await hear(stream, NoSettings) == NoSettings(reason="NoMatch")


@on_both_loops
async def test_of_a_burst_only_the_newest_is_sent(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path) as served, served.sidecar(sidecar_token) as stream:
        [cell] = served.fleet.cells.values()
        for generation in range(1, 101):
            cell.put(settings(generation))
        assert (await hear(stream, NewSettings)).revision.generation == 100
        assert served.server.counts.pushed == 1


@on_both_loops
async def test_heartbeats_tell_which_settings_were_sent_last(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path, heartbeat_seconds=0.2) as served, served.sidecar(sidecar_token) as stream:
        assert await hear(stream) == Heartbeat(hash=None, interval_seconds=0.2)
        [cell] = served.fleet.cells.values()
        cell.put(settings(3))
        await hear(stream, NewSettings)
        assert (await hear(stream, Heartbeat)).hash == "hash-3"


@on_both_loops
async def test_a_sidecar_that_falls_silent_is_closed(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path, heartbeat_seconds=0.2) as served, served.sidecar(sidecar_token):
        await served.ended("Silent")
        assert served.fleet.left


@on_both_loops
async def test_of_two_streams_of_one_pod_the_newer_lives(api, tmp_path, sidecar_token):
    async with (
        serving(api, tmp_path) as served,
        served.sidecar(sidecar_token) as older,
        served.sidecar(sidecar_token) as newer,
    ):
        bye = await hear(older, Bye)
        assert bye.reason.startswith("Replaced")
        assert bye.retry_after_seconds >= 20
        await served.ended("Replaced")
        [cell] = served.fleet.cells.values()
        cell.put(settings(2))
        assert await hear(newer, NewSettings) == settings(2)
        assert not served.fleet.left


@on_both_loops
async def test_the_fleet_ends_a_stream_when_the_pod_goes(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path) as served, served.sidecar(sidecar_token) as stream:
        [cell] = served.fleet.cells.values()
        cell.put(settings(1))
        cell.close("PodGone: the pod is deleted")
        assert (await hear(stream, Bye)).reason == "PodGone: the pod is deleted"
        assert await hear(stream) is None
        await served.ended("PodGone")
        assert served.fleet.left


@on_both_loops
async def test_a_stream_ends_before_its_token_does(api, tmp_path, sidecar_token):
    judged = lambda pod: dataclasses.replace(pod, expires_at=time.time() + 0.5)  # noqa: E731 -- one expression
    async with (
        serving(api, tmp_path, judged=judged, heartbeat_seconds=0.2, least_life_seconds=0.1) as served,
        served.sidecar(sidecar_token) as stream,
    ):
        assert (await hear(stream, Bye)).reason == "TokenExpired"


@on_both_loops
async def test_a_token_that_ended_by_our_clock_but_not_by_the_api_servers_gets_a_short_stream(
    api, tmp_path, sidecar_token
):
    judged = lambda pod: dataclasses.replace(pod, expires_at=time.time() - 3600)  # noqa: E731 -- one expression
    async with (
        serving(api, tmp_path, judged=judged, heartbeat_seconds=0.5, least_life_seconds=0.5) as served,
        served.sidecar(sidecar_token) as stream,
    ):
        assert (await hear(stream, Bye)).reason == "TokenExpired"


@on_both_loops
async def test_a_server_that_stops_says_goodbye_to_all(api, tmp_path, namespace):
    tokens = []
    for number in range(3):
        api.pod(namespace, f"voice-{number}")
        tokens.append(api.token(namespace, f"voice-{number}"))
    async with contextlib.AsyncExitStack() as sidecars:
        async with serving(api, tmp_path) as served:
            streams = [await sidecars.enter_async_context(served.sidecar(token)) for token in tokens]
            stopped = asyncio.gather(*(hear(stream, Bye) for stream in streams))
        byes = await stopped
        assert all(bye.reason == "Stopping" and 0.5 <= bye.retry_after_seconds <= 5 for bye in byes)
        assert len(served.fleet.left) == 3


@on_both_loops
async def test_a_new_certificate_is_used_without_a_restart_and_old_streams_live_on(api, tmp_path, namespace):
    for name in ("one", "two"):
        api.pod(namespace, name)
    async with serving(api, tmp_path) as served, served.sidecar(api.token(namespace, "one")) as old:
        before = await served_certificate(served)
        issue(served.authority, tmp_path)
        assert served.certificates.refresh()
        assert await served_certificate(served) != before
        async with served.sidecar(api.token(namespace, "two")) as new:
            for cell in served.fleet.cells.values():
                cell.put(settings(5))
            assert await hear(old, NewSettings) == await hear(new, NewSettings) == settings(5)


async def served_certificate(served):
    async with served.connect() as (_, writer):
        return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


@on_both_loops
async def test_tls_older_than_1_3_is_refused(api, tmp_path):
    async with serving(api, tmp_path) as served:
        old = served.trust()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", served.port, ssl=old, server_hostname=NAME)


@on_both_loops
async def test_caps_are_refused_with_a_time_to_try_again(api, tmp_path, namespace):
    other = api.namespace()
    for place, name in ((namespace, "one"), (namespace, "two"), (other, "one"), (other, "two")):
        api.pod(place, name)
    async with serving(api, tmp_path, streams=2, streams_per_namespace=1) as served:
        async with served.sidecar(api.token(namespace, "one")):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with served.dial(api.token(namespace, "two")):
                    pass
            assert (refused.value.status, refused.value.headers["retry-after"]) == (503, "2")
            async with served.sidecar(api.token(other, "one")):
                assert await served.refused(api.token(other, "two")) == 503
        await served.fleet.until(lambda: not served.server.streams)
        assert served.server.refused == {"TooManyOfANamespace": 1, "TooManyStreams": 1}
        async with served.sidecar(api.token(namespace, "two")):
            assert served.server.streams == 1


@on_both_loops
async def test_a_sidecar_that_does_not_read_delays_nobody_and_is_closed(api, tmp_path, namespace):
    for name in ("stuck", "well"):
        api.pod(namespace, name)
    async with (
        serving(api, tmp_path, send_seconds=1.0) as served,
        stuck_sidecar(served, api.token(namespace, "stuck")) as stuck,
        served.sidecar(api.token(namespace, "well")) as well,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        generation = 0
        while stuck.uid not in served.fleet.left:
            generation += 1
            for cell in served.fleet.cells.values():
                cell.put(settings(generation, padding="x" * 500_000))
            assert (await hear(well, NewSettings)).revision.generation == generation
        await served.ended("Stuck")


class Stuck:
    uid = ""


@contextlib.asynccontextmanager
async def stuck_sidecar(served, token):
    """A sidecar that says hello and never reads again."""
    async with served.connect(limit=1024) as (reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(request_head(token))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(0x1, b'{"type":"hello","protocol":1,"version":"1"}'))
        writer.transport.pause_reading()
        stuck = Stuck()
        await served.fleet.until(lambda: served.fleet.hellos)
        stuck.uid = served.fleet.hellos[0][0]
        yield stuck


def frame(opcode, payload):
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0xFE]) + len(payload).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + bytes(4) + payload  # masked with zeros


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ("{}", "Malformed"),
        ("not JSON", "Malformed"),
        ('{"type":"hello"}', "Malformed"),
        ('{"type":"state","state":"applied","pools":{}}', "Malformed"),
        ('{"type":"hello","protocol":0,"version":"1"}', "Malformed"),
        ("[" * 30_000, "Malformed"),
        (b"\x00\x01", "Malformed"),
        ("x" * (MAX_SIDECAR_MESSAGE_BYTES + 1), "Malformed"),
        (None, "NoHello"),
    ],
    ids=["empty", "text", "incomplete", "state-first", "protocol-0", "deep", "binary", "oversized", "nothing"],
)
@on_both_loops
async def test_a_first_message_that_is_no_hello_ends_the_stream(api, tmp_path, sidecar_token, sent, why):
    async with serving(api, tmp_path, hello_seconds=60 if sent else 0.3) as served:
        async with served.dial(sidecar_token) as stream:
            if sent:
                await (stream.send_bytes if isinstance(sent, bytes) else stream.send_str)(sent)
            while (await stream.receive(60)).type is aiohttp.WSMsgType.TEXT:
                pass
        await served.ended(why)
        assert not served.fleet.hellos


@pytest.mark.parametrize(
    "sent",
    [
        '{"type":"state"}',
        "{",
        "x" * (MAX_SIDECAR_MESSAGE_BYTES + 1),
        b"",
        '{"type":"state","state":"other","pools":{}}',
    ],
    ids=["incomplete", "text", "oversized", "binary", "unknown-state"],
)
@on_both_loops
async def test_a_malformed_message_ends_its_stream_and_no_other(api, tmp_path, namespace, sent):
    for name in ("bad", "well"):
        api.pod(namespace, name)
    async with serving(api, tmp_path) as served, served.sidecar(api.token(namespace, "well")) as well:
        async with served.sidecar(api.token(namespace, "bad")) as bad:
            await (bad.send_bytes if isinstance(sent, bytes) else bad.send_str)(sent)
            await hear(bad, type(None))
            await served.ended("Malformed")
        assert len(served.fleet.left) == 1
        assert not served.fleet.states
        [cell] = served.fleet.cells.values()
        cell.put(settings(1))
        assert await hear(well, NewSettings) == settings(1)


@on_both_loops
async def test_messages_of_a_newer_sidecar_are_ignored(api, tmp_path, sidecar_token):
    async with serving(api, tmp_path) as served, served.sidecar(sidecar_token) as stream:
        await stream.send_str('{"type":"of-next-year","more":[1]}')
        await say(stream, APPLIED)
        await served.fleet.until(lambda: served.fleet.states)
        assert served.server.streams == 1


@pytest.mark.parametrize("opcode", [0x1, 0x9], ids=["messages", "pings"])
@on_both_loops
async def test_a_flood_ends_the_stream(api, tmp_path, sidecar_token, opcode):
    async with serving(api, tmp_path, messages_per_heartbeat=50, close_seconds=0.2) as served:
        async with served.connect() as (reader, writer):
            writer.write(request_head(sidecar_token))
            await reader.readuntil(b"\r\n\r\n")
            hello = frame(0x1, b'{"type":"hello","protocol":1,"version":"1"}')
            writer.write(hello + frame(opcode, b'{"type":"of-next-year"}') * 1000)
            with contextlib.suppress(ConnectionError):
                await reader.read()
        await served.ended("Flooded")
