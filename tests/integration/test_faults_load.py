"""More callers than there is room for, callers who hang up, callers who read slowly, a stop in the midst of it."""

import asyncio
import contextlib
import json
import signal
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.integration.faults import LONG, is_whole, pool, sentence, until, voices, workers
from tests.integration.local import PCM_16K, recording
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, processes_end
from websockets.asyncio.client import unix_connect

from speechpool.audio.wav import wav_header
from speechpool.client import SidecarRefused, SidecarUnreachable, Speech, SpeechBrokenOff

Start = Callable[..., Sidecar]

TEXT = sentence(2, words=12)
LONGEST = sentence(0, words=600)
"""As much as one utterance may hold: a fast machine needs seconds to make it, many times a shutdown's 0.3 s."""
UNREAD_BYTES = 6 * 2**20
"""How much the main process may grow for readers who do not read: their buffers, and the allocator's own."""


def unix(sidecar: Sidecar) -> httpx.HTTPTransport:
    """The way to its socket; without TLS, whose certificates take longer to load than a request takes."""
    return httpx.HTTPTransport(uds=str(sidecar.socket), verify=False)


def ask(sidecar: Sidecar, text: str = TEXT) -> httpx.Response:
    """One utterance over a connection of its own."""
    with httpx.Client(transport=unix(sidecar), timeout=PATIENCE_SECONDS) as client:
        return client.post("http://speechpool/v1/audio/speech", json={"input": text, "response_format": "pcm"})


def transcribe(sidecar: Sidecar, upload: bytes) -> httpx.Response:
    """One transcription over a connection of its own."""
    with httpx.Client(transport=unix(sidecar), timeout=PATIENCE_SECONDS) as client:
        return client.post("http://speechpool/v1/audio/transcriptions", files={"file": ("long.wav", upload)})


def begun(sidecar: Sidecar, count: int, stack: contextlib.ExitStack, text: str = LONG) -> list[Speech]:
    """So many utterances, each with its first audio there and most of it not read yet."""
    return [stack.enter_context(sidecar.client.speak(text, response_format="pcm")) for _ in range(count)]


def read_all(speeches: Sequence[Speech], after_each_turn: Callable[[], object] = bool) -> list[bytes | None]:
    """The audio of each, None where it broke off; read a piece of each in turn, as slow readers do."""
    audio = [bytearray() for _ in speeches]
    broken = set()
    chunks = {number: iter(speech) for number, speech in enumerate(speeches)}
    while chunks:
        for number, chunk in tuple(chunks.items()):
            try:
                audio[number] += next(chunk)
            except (StopIteration, SpeechBrokenOff) as end:
                del chunks[number]
                broken |= {number} if isinstance(end, SpeechBrokenOff) else set()
        after_each_turn()
    return [None if number in broken else bytes(heard) for number, heard in enumerate(audio)]


class TestFlood:
    def test_who_finds_no_place_in_the_line_is_told_and_everybody_else_is_whole(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(2, most=2, maxWaiting=3, acquireTimeoutSeconds=PATIENCE_SECONDS))
        reference, short = ask(sidecar, LONG).content, ask(sidecar).content
        sidecar.settled()
        before = pool(sidecar)["metrics"]

        with contextlib.ExitStack() as stack, ThreadPoolExecutor(15) as callers:
            speaking = begun(sidecar, 2, stack)
            waiting = [callers.submit(ask, sidecar) for _ in range(3)]
            until(lambda: pool(sidecar)["waiting"] == 3, "the line is full")
            refused = list(callers.map(lambda _: ask(sidecar), range(12)))
            heard = read_all(speaking)
            stack.close()
            served = [caller.result(PATIENCE_SECONDS) for caller in waiting]

        assert [reply.status_code for reply in refused] == [429] * 12
        assert {reply.json()["error"]["code"] for reply in refused} == {"pool_full"}
        assert all(int(reply.headers["retry-after"]) > 0 for reply in refused)
        assert all(audio and is_whole(audio, reference) for audio in heard)
        assert [reply.status_code for reply in served] == [200] * 3
        assert all(is_whole(reply.content, short) for reply in served)
        sidecar.settled()
        after = pool(sidecar)["metrics"]
        assert after["allocations_rejected"] - before["allocations_rejected"] == 12
        assert after["allocations_total"] - before["allocations_total"] == 17

    def test_of_many_in_the_same_moment_none_is_lost(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(2, most=3, maxWaiting=5, acquireTimeoutSeconds=PATIENCE_SECONDS))
        reference = ask(sidecar).content
        sidecar.settled()
        before = pool(sidecar)["metrics"]

        with ThreadPoolExecutor(40) as callers:
            replies = list(callers.map(lambda _: ask(sidecar), range(40)))

        counts = Counter(reply.status_code for reply in replies)
        assert counts.keys() <= {200, 429}
        assert counts[200] >= 8
        assert all(is_whole(reply.content, reference) for reply in replies if reply.status_code == 200)
        sidecar.settled()
        after = pool(sidecar)["metrics"]
        assert after["allocations_total"] - before["allocations_total"] == 40
        assert after["allocations_rejected"] == counts[429]
        assert len(workers(sidecar)) <= 3


class TestHangUps:
    def test_fifty_in_mid_utterance_leave_nothing_behind(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(5, most=5))
        reference = ask(sidecar).content
        for formats in ("pcm", "mp3"):  # the second starts a codec worker, which stays
            with sidecar.client.speak(LONG, response_format=formats):
                pass
        sidecar.settled()
        descriptors, processes = sidecar.open_fds(), sidecar.worker_pids()

        for turn in range(10):
            with contextlib.ExitStack() as stack:
                for number in range(5):
                    name = "mp3" if (turn + number) % 5 == 0 else "pcm"
                    stack.enter_context(sidecar.client.speak(LONG, response_format=name))
                assert pool(sidecar)["items"]["idle"] == 0
            until(lambda: pool(sidecar)["items"]["idle"] == 5, "all clients are back")

        sidecar.settled()
        until(lambda: sidecar.open_fds() <= descriptors, "the sockets are closed")
        assert sidecar.worker_pids() == processes
        reply = ask(sidecar)
        assert reply.headers["x-speechpool-tier"] == "warm"
        assert is_whole(reply.content, reference)

    def test_callers_who_wait_in_the_line_and_leave_take_nothing(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(1, most=1, acquireTimeoutSeconds=PATIENCE_SECONDS))
        ask(sidecar)
        sidecar.settled()
        descriptors = sidecar.open_fds()
        body = json.dumps({"input": TEXT, "response_format": "pcm"})
        request = f"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

        with contextlib.ExitStack() as stack:
            begun(sidecar, 1, stack)
            for _ in range(5):
                with socket.socket(socket.AF_UNIX) as caller:
                    caller.connect(str(sidecar.socket))
                    caller.sendall(request)
                    until(lambda: pool(sidecar)["waiting"] == 1, "the caller waits")
                until(lambda: pool(sidecar)["waiting"] == 0, "nobody waits")

        sidecar.settled()
        assert pool(sidecar)["metrics"]["allocations_cancelled"] == 5
        until(lambda: sidecar.open_fds() <= descriptors, "the sockets are closed")
        assert ask(sidecar).headers["x-speechpool-tier"] == "warm"


class TestSlowReaders:
    def test_they_hold_up_their_engines_and_fill_no_memory(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(8, most=8))
        reference = ask(sidecar, LONG).content
        before = sidecar.rss_bytes()
        most: list[int] = []

        with contextlib.ExitStack() as stack:
            speeches = begun(sidecar, 8, stack)
            heard = read_all(speeches, lambda: most.append(sidecar.rss_bytes()))

        assert all(audio and is_whole(audio, reference) for audio in heard)
        assert sum(len(audio or b"") for audio in heard) > 1.8 * UNREAD_BYTES
        assert max(most) - before < UNREAD_BYTES

    async def test_a_websocket_that_nobody_reads_fills_no_memory(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(1, most=1))
        ask(sidecar)
        before = sidecar.rss_bytes()

        async with unix_connect(str(sidecar.socket), "ws://speechpool/v1/speech/stream", max_size=None) as socket:
            for number in range(10):
                await socket.send(json.dumps({"type": "speak", "id": str(number), "input": LONG}))
            told, heard_bytes, most = Counter[str](), 0, before
            while told["completed"] < 10:
                message = await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
                if isinstance(message, bytes):
                    heard_bytes += len(message)
                else:
                    told[json.loads(message)["type"]] += 1
                most = max(most, sidecar.rss_bytes())

        assert told["error"] == 0
        assert heard_bytes > 2 * UNREAD_BYTES
        assert most - before < UNREAD_BYTES


class TestStopUnderLoad:
    def test_what_was_accepted_ends_whole_and_nothing_is_left(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar("--shutdown-timeout", str(PATIENCE_SECONDS), config=voices(5, most=10))
        reference = ask(sidecar, LONG).content

        with contextlib.ExitStack() as stack:
            speeches = begun(sidecar, 10, stack)
            processes = sidecar.worker_pids()
            sidecar.signal(signal.SIGTERM)
            sidecar.wait_for_log("sidecar stopping")
            heard = read_all(speeches)
            with pytest.raises((SidecarUnreachable, SidecarRefused)):
                begun(sidecar, 1, stack)

        assert all(audio and is_whole(audio, reference) for audio in heard)
        assert sidecar.wait() == 0
        assert not sidecar.socket.exists()
        assert processes_end(processes)

    def test_who_waits_in_the_line_is_told_and_who_reads_nothing_is_broken_off(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar("--shutdown-timeout", "0.3", config=voices(4, most=4))

        with contextlib.ExitStack() as stack, ThreadPoolExecutor(6) as callers:
            speeches = begun(sidecar, 4, stack)
            waiting = [callers.submit(ask, sidecar) for _ in range(6)]
            until(lambda: pool(sidecar)["waiting"] == 6, "six wait")
            processes = sidecar.worker_pids()
            code = sidecar.stop()
            endings = [caller.result(PATIENCE_SECONDS) for caller in waiting]
            heard = read_all(speeches)

        assert code == 0
        assert [reply.status_code for reply in endings] == [503] * 6
        assert {reply.json()["error"]["code"] for reply in endings} == {"pool_closed"}
        assert heard == [None] * 4
        assert not sidecar.socket.exists()
        assert processes_end(processes)

    async def test_who_waits_on_a_websocket_is_told_and_so_is_who_is_spoken_to(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar("--shutdown-timeout", "0.3", config=voices(1, most=1))

        async with (
            unix_connect(str(sidecar.socket), "ws://speechpool/v1/speech/stream") as served,
            unix_connect(str(sidecar.socket), "ws://speechpool/v1/speech/stream") as waiting,
        ):
            await served.send(json.dumps({"type": "speak", "id": "said", "input": LONGEST, "speed": 0.25}))
            await asyncio.wait_for(served.recv(), PATIENCE_SECONDS)
            await waiting.send(json.dumps({"type": "speak", "id": "said", "input": TEXT}))
            await asyncio.to_thread(until, lambda: pool(sidecar)["waiting"] == 1, "one waits")
            sidecar.signal(signal.SIGTERM)
            sidecar.wait_for_log("sidecar stopping")
            for socket in (served, waiting):
                told = [json.loads(message) async for message in socket if isinstance(message, str)]
                assert told[-1]["type"] == "error"
                assert (told[-1]["id"], told[-1]["error"]["code"]) == ("said", "pool_closed")
                assert socket.close_code == 1001

        assert sidecar.wait() == 0

    def test_a_session_that_waits_for_its_client_is_told(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar("--shutdown-timeout", "0.3", config=voices(1, most=1))

        with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as callers:
            begun(sidecar, 1, stack)
            transport = unix(sidecar)
            client = stack.enter_context(httpx.Client(transport=transport, timeout=PATIENCE_SECONDS))
            put = callers.submit(client.put, "http://speechpool/v1/sessions/call-1")
            until(lambda: pool(sidecar)["waiting"] == 1, "the session waits")
            assert sidecar.stop() == 0

        assert put.result().status_code == 503
        assert put.result().json()["error"]["code"] == "pool_closed"

    def test_transcriptions_under_way_and_waiting_are_told(self, start_sidecar: Start) -> None:
        listening = {"name": "stt", "kind": "SpeechToText", "warmSize": 1, "maxSize": 1}
        sidecar = start_sidecar("--shutdown-timeout", "0.3", config={"pools": [listening]})
        audio = recording("0920") * 20
        upload = wav_header(PCM_16K, len(audio)) + audio  # minutes: more than is heard before the end

        with ThreadPoolExecutor(2) as callers:
            asked = [callers.submit(transcribe, sidecar, upload)]
            until(lambda: pool(sidecar, "stt")["items"]["out"], "one is under way")
            asked.append(callers.submit(transcribe, sidecar, upload))
            until(lambda: pool(sidecar, "stt")["waiting"], "one waits")
            code = sidecar.stop()
            replies = [caller.result(PATIENCE_SECONDS) for caller in asked]

        assert code == 0
        assert [reply.status_code for reply in replies] == [503] * 2
        assert {reply.json()["error"]["code"] for reply in replies} == {"pool_closed"}

    async def test_a_websocket_hears_the_end_of_what_is_said(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar("--shutdown-timeout", str(PATIENCE_SECONDS), config=voices(2, most=2))

        async with unix_connect(str(sidecar.socket), "ws://speechpool/v1/speech/stream") as socket:
            for name in ("said", "queued"):
                await socket.send(json.dumps({"type": "speak", "id": name, "input": LONG}))
            await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
            sidecar.signal(signal.SIGTERM)
            sidecar.wait_for_log("sidecar stopping")
            told = [json.loads(message) async for message in socket if isinstance(message, str)]

        endings = {event["id"]: event["type"] for event in told if event["type"] in ("completed", "error", "canceled")}
        assert endings["said"] == "completed"
        assert endings.keys() == {"said", "queued"}
        assert socket.close_code == 1001
        assert sidecar.wait() == 0
