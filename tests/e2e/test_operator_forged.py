"""Who is not what he says, who says what makes no sense, and who is too many: nobody else notices, or learns anything.

That the API server's word decides about each kind of token, and that each kind of message is bounded, is proved beside
the parts; here it is the whole operator, with the rights that it has, and sidecars whom all of it must not disturb.
"""

import asyncio
import base64
import contextlib
import json
import resource
import socket
import time
from pathlib import Path

import pytest
from tests.e2e.crowd import Crowd, Mint
from tests.e2e.sidecars import INJECTED, Calls, waited
from tests.e2e.strangers import HELLO, counters, dialled, frame, head, statuses
from tests.integration.sidecar import eventually

from speechpool.settings.wire import MAX_SIDECAR_MESSAGE_BYTES

SECRET = "for-the-victims-only"
"""A pool's name in the settings of others: whoever hears it has seen what is not meant for him."""
POOLS = [{"name": SECRET, "kind": "TextToSpeech"}]
VICTIMS = ("one", "two")
CONNECTIONS = 10_000
ELSEWHERE = "127.0.0.2"
"""Where those connections come from: a pod has an address of its own."""
MOST_FILES = 2_000
"""Of the operator while they are there: what one address may have waiting, and all of its own."""
MOST_BYTES = 64 * 2**20
"""And its memory may grow by so much."""


class Town:
    """A namespace with an object, and two sidecars that follow it and are never to notice anything."""

    def __init__(self, calls, operator, crowd):
        self.calls = calls
        self.operator = operator
        self.crowd = crowd
        self.size = 0

    def edit(self):
        """Change the object; every victim runs it, on the connection that it has had from the start: its generation."""
        self.size += 1
        generation = self.calls.edit("voice", warmSize=self.size % 50)
        self.crowd.all_run(generation)
        assert self.crowd.reconnects == 0
        return generation

    def pod(self, name, app="voice"):
        """A pod more; its token."""
        self.calls.pod(name, app=app)
        return self.calls.api.token(self.calls.name, name)

    def spare(self, name):
        """Take a pod away for good, so that it is not counted any more."""
        self.calls.api.delete(f"{self.calls.pods}/{name}", grace_seconds=0)

    def is_well(self):
        """The object's status tells of the victims alone, and they still follow it."""
        self.calls.settles("voice", self.edit(), len(VICTIMS))
        assert "lastError" not in self.calls.status("voice")


@pytest.fixture(scope="module")
def whole_town(pools_api, control_plane, tmp_path_factory):
    calls = Calls(pools_api)
    calls.apply("voice", 1, pools=POOLS)
    with Crowd(tmp_path_factory.mktemp("town"), control_plane.address, control_plane.ca_file) as crowd:
        town = Town(calls, control_plane, crowd)
        for name in VICTIMS:
            crowd.join(name, town.pod(name))
        crowd.all_run(1)
        yield town


@pytest.fixture
def town(whole_town):
    """The town, which is as well after the test as before."""
    yield whole_town
    whole_town.is_well()


def edited(token, **changes):
    """A token whose claims are others than those that were signed."""
    first, claims, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "==")) | changes
    return f"{first}.{base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip('=')}.{signature}"


def forged_tokens(town):
    """Tokens of everybody who is not a living pod, with the status and the reason that each is refused with."""
    api, where, now = town.calls.api, town.calls.name, int(time.time())
    good = town.pod("forger", app="nobody")
    going, gone, again = (town.pod(name) for name in ("going", "gone", "again"))
    api.delete(f"{town.calls.pods}/going", grace_seconds=600)
    api.delete(f"{town.calls.pods}/gone", grace_seconds=0)
    api.delete(f"{town.calls.pods}/again", grace_seconds=0)
    town.calls.pod("again", app="nobody")
    mint = Mint(api, good)
    pod = mint.claims["kubernetes.io"]["pod"]
    victim = api.get(f"{town.calls.pods}/one")["metadata"]
    named = mint.claims["kubernetes.io"] | {"pod": {"name": "one", "uid": victim["uid"]}}
    return {
        "none": (None, {401}),
        "nonsense": ("nonsense", {401}),
        "for another": (api.token(where, "forger", audience="https://kubernetes.default.svc"), {401}),
        "changed to ours": (edited(api.token(where, "forger", audience="x"), aud=["speechpool-operator"]), {401}),
        "changed to another pod": (edited(good, **{"kubernetes.io": named}), {401}),
        "bound to no pod": (api.token(where, None), {401}),
        "expired": (mint.token(iat=now - 7200, nbf=now - 7200, exp=now - 3600), {401}),
        "of the future": (mint.token(nbf=now + 3600, exp=now + 7200), {401}),
        "of a pod of this name and another uid": (mint.of_pod("one", pod["uid"]), {401, 403}),
        "of a pod that never was": (mint.of_pod("nowhere", "0e6f4d2e-0000-0000-0000-000000000000"), {401, 403}),
        "of a pod that is going": (going, {403}),
        "of a pod that is gone": (gone, {401, 403}),
        "of a pod whose name another has": (again, {401, 403}),
    }


async def test_whoever_is_not_a_living_pod_is_refused_and_hears_nothing_else(town):
    forged = await asyncio.to_thread(forged_tokens, town)
    answers = await asyncio.gather(*(statuses(town.operator, token) for token, _ in forged.values()))
    for (name, (_, allowed)), (status, heard) in zip(forged.items(), answers, strict=True):
        assert status in allowed, name
        assert heard.partition(b"\r\n\r\n")[2] == b"", name
    refused = counters(town.operator, "speechpool_operator_refused_connections_total")
    assert {"NoToken", "MalformedToken", "WrongAudience", "NotAuthenticated", "NotAPod", "PodTerminating"} <= set(
        refused
    )
    log = town.operator.stderr_text
    assert not any(token in log for token, _ in forged.values() if token and len(token) > 20)
    town.spare("going")


async def test_a_pod_hears_what_is_meant_for_it_and_nothing_else_whatever_it_says(town):
    """Others of this name, of these labels, and some who ask for the object by its name from where it is not."""
    api, other = town.calls.api, Calls(town.calls.api)
    api.pod(other.name, "one", labels={"app": "voice", **INJECTED})
    api.pod(other.name, "asks", labels=INJECTED, annotations={"speechpool.dev/pool": f"{town.calls.name}/voice"})
    api.pod(other.name, "asks-short", labels=INJECTED, annotations={"speechpool.dev/pool": "voice"})
    tokens = [api.token(other.name, name) for name in ("one", "asks", "asks-short")]
    tokens.append(town.pod("neighbour", app="nobody"))
    revision = town.calls.api.get(f"{town.calls.path}/voice")["metadata"]
    theirs = {"uid": revision["uid"], "generation": revision["generation"], "hash": "any"}
    refusal = {"type": "state", "state": "rejected", "offered": theirs, "applied": None, "error": "lies", "pools": {}}
    success = {"type": "state", "state": "applied", "offered": theirs, "applied": theirs, "pools": {}}
    claim = {**json.loads(HELLO), "applied": theirs, "pod": "one", "namespace": town.calls.name, "uid": theirs["uid"]}
    async with contextlib.AsyncExitStack() as stack:
        others = [await stack.enter_async_context(dialled(town.operator)) for _ in tokens]
        for stranger, token in zip(others, tokens, strict=True):
            stranger.say(head(token), frame(json.dumps(claim)))
            await stranger.until(lambda heard: b'"type":"none"' in heard)
        for message in (refusal, success):
            for stranger in others:
                stranger.say(frame(json.dumps(message)))
            await asyncio.to_thread(town.is_well)
        assert town.operator.sidecars(other.name).keys() == {"one", "asks", "asks-short"}
        for stranger in others:
            await stranger.until(lambda heard: b'"type":"heartbeat"' in heard)
            assert SECRET.encode() not in stranger.heard
            assert b'"type":"settings"' not in stranger.heard


async def test_a_pod_on_its_way_out_gets_nothing_new_and_one_that_is_gone_loses_its_stream(town):
    token = await asyncio.to_thread(town.pod, "leaving")
    async with dialled(town.operator) as leaving:
        leaving.say(head(token), frame(HELLO))
        await leaving.until(lambda heard: SECRET.encode() in heard)
        town.calls.api.delete(f"{town.calls.pods}/leaving", grace_seconds=600)
        await asyncio.to_thread(waited, lambda: town.calls.status("voice").get("matched") == len(VICTIMS), list)
        before = leaving.heard.count(b'"type":"settings"')
        await asyncio.to_thread(town.is_well)
        assert (await statuses(town.operator, token))[0] == 403
        town.spare("leaving")
        heard = await leaving.until_closed()
        assert b"PodGone" in heard
        assert heard.count(b'"type":"settings"') == before
    assert (await statuses(town.operator, token))[0] in {401, 403}


NONSENSE = {
    "oversized": frame("x" * (MAX_SIDECAR_MESSAGE_BYTES + 1)),
    "endless": b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(4) + b"x" * 100_000,
    "deep": frame("[" * 30_000),
    "text": frame("not JSON"),
    "binary": frame(b"\0\1", opcode=0x2),
    "no UTF-8": frame(b"\xff\xfe"),
    "reserved": frame("{}", opcode=0x3),
    "not masked": b"\x81\x02{}",
    "hello again, with another type in it": frame('{"type":"state","state":7}'),
    "many": frame('{"type":"of-next-year"}') * 2000,
    "pings": frame("", opcode=0x9) * 2000,
}


async def test_what_makes_no_sense_ends_its_own_stream_alone(town):
    names = [f"odd-{number}" for number in range(len(NONSENSE))]
    tokens = [await asyncio.to_thread(town.pod, name) for name in names]
    async with contextlib.AsyncExitStack() as stack:
        odd = [await stack.enter_async_context(dialled(town.operator)) for _ in names]
        for stranger, token in zip(odd, tokens, strict=True):
            stranger.say(head(token), frame(HELLO))
            await stranger.until(lambda heard: SECRET.encode() in heard)
        for stranger, nonsense in zip(odd, NONSENSE.values(), strict=True):
            stranger.say(nonsense)
        await asyncio.gather(*(stranger.until_closed() for stranger in odd))
    for name in names:
        await asyncio.to_thread(town.spare, name)
    endings = counters(town.operator, "speechpool_operator_streams_ended_total")
    assert endings["Malformed"] >= len(NONSENSE) - 3
    assert endings["Flooded"] >= 2


async def test_one_pod_has_one_stream_however_many_it_opens(town):
    before = counters(town.operator, "speechpool_operator_streams")[""]
    token = await asyncio.to_thread(town.pod, "many", app="nobody")
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(dialled(town.operator)) for _ in range(50)]
        for stream in streams:
            stream.say(head(token), frame(HELLO))
        closed = [asyncio.ensure_future(stream.until_closed()) for stream in streams]
        while sum(one.done() for one in closed) < len(streams) - 1:
            await asyncio.wait([one for one in closed if not one.done()], return_when=asyncio.FIRST_COMPLETED)
        assert counters(town.operator, "speechpool_operator_streams")[""] == before + 1
        await asyncio.to_thread(town.is_well)
        for one in closed:
            one.cancel()


def open_files(operator):
    return len(list(Path(f"/proc/{operator.pid}/fd").iterdir()))


@contextlib.contextmanager
def connections(operator, count):
    """So many connections of one address, each of which says nothing."""
    host, _, port = operator.address.rpartition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.bind((ELSEWHERE, 0))
            with contextlib.suppress(BlockingIOError):
                one.connect((host, int(port)))
        yield


async def test_ten_thousand_connections_of_one_address_hold_up_nobody_else(town):
    most = min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000)
    files, size = open_files(town.operator), town.operator.rss_bytes()
    token = await asyncio.to_thread(town.pod, "late")
    turned_away = lambda: counters(town.operator, "speechpool_operator_refused_connections_total").get(  # noqa: E731 -- one expression
        "TooManyOfAnAddress", 0
    )
    before = turned_away()
    with connections(town.operator, most):
        await asyncio.to_thread(town.edit)
        async with dialled(town.operator) as late:  # and who comes now is let in
            late.say(head(token), frame(HELLO))
            await late.until(lambda heard: SECRET.encode() in heard)
        await asyncio.to_thread(eventually, lambda: turned_away() - before > most - MOST_FILES)
        assert open_files(town.operator) < files + MOST_FILES
        assert town.operator.rss_bytes() < size + MOST_BYTES
        await asyncio.to_thread(town.edit)
    await asyncio.to_thread(eventually, lambda: open_files(town.operator) < files + 10)
    await asyncio.to_thread(town.spare, "late")
