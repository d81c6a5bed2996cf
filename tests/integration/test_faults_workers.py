"""Workers killed with SIGKILL: while idle, while they speak or listen, while they are made."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.faults import LONG, WARM, is_whole, kill, pool, sentence, until, voices, workers
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed

from speechpool.client import SidecarRefused, SpeechBrokenOff

Start = Callable[..., Sidecar]

TEXT = sentence(1, words=12)
RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "austen-0880.wav"


def say(sidecar: Sidecar, text: str = TEXT, **options: Any) -> tuple[str, bytes]:
    """An utterance's tier and its audio."""
    with sidecar.client.speak(text, **{"response_format": "pcm", **options}) as speech:
        return speech.tier, speech.read()


async def events(socket: ClientConnection, *last: str) -> list[dict[str, Any]]:
    """The events up to the first of these types, or to the end of the socket."""
    told: list[dict[str, Any]] = []
    with contextlib.suppress(ConnectionClosed):
        while not told or told[-1]["type"] not in last:
            message = await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
            if isinstance(message, str):
                told.append(json.loads(message))
    return told


def killed_while_made(sidecar: Sidecar) -> int:
    """Kill a worker that is still being made; the pool then has one client, which is that one."""
    for _ in range(20):
        before = workers(sidecar)
        for pid in before:
            kill(pid)
        made = until(lambda before=before: workers(sidecar) - before, "a replacement").pop()
        os.kill(made, signal.SIGSTOP)
        items = pool(sidecar)["items"]
        if items["creating"] + items["warming"] == 1 and items["idle"] == 0:
            kill(made)
            return made
        os.kill(made, signal.SIGCONT)  # it was made sooner than it could be stopped
    raise AssertionError("no worker could be caught while it was made")


class TestIdle:
    def test_the_pool_is_whole_again_and_the_next_calls_are_warm(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(2))
        reference = say(sidecar)[1]
        sidecar.settled()
        before = workers(sidecar)
        victim = min(before)

        kill(victim)
        until(lambda: pool(sidecar)["metrics"]["items_made"] == 3, "a replacement")
        sidecar.settled()
        with ThreadPoolExecutor(2) as callers:
            answers = list(callers.map(lambda _: say(sidecar), range(2)))

        assert {tier for tier, _ in answers} == {"warm"}
        assert all(is_whole(audio, reference) for _, audio in answers)
        assert victim not in workers(sidecar)
        assert before - {victim} <= workers(sidecar)

    def test_a_call_in_the_same_moment_is_served_by_another(self, start_sidecar: Start) -> None:
        """Whether the death is noticed before the call or by it: no audio has gone out, so another client speaks."""
        sidecar = start_sidecar(config=voices(2))
        reference = say(sidecar)[1]

        for _ in range(3):
            sidecar.settled()
            kill(min(workers(sidecar)))
            assert is_whole(say(sidecar)[1], reference)

    def test_calls_in_the_moment_in_which_all_die_are_served(self, start_sidecar: Start) -> None:
        """The first client is found dead by its call; what is tried then is another, or is made for it."""
        sidecar = start_sidecar(config=voices(3))
        reference = say(sidecar)[1]

        for _ in range(3):
            sidecar.settled()
            for pid in workers(sidecar):
                kill(pid)
            assert is_whole(say(sidecar)[1], reference)

    def test_one_that_listens_is_replaced_too(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config={"pools": [{"name": "stt", "kind": "SpeechToText", "warmSize": 1}]})
        (victim,) = workers(sidecar, "sphinx")

        kill(victim)
        until(lambda: pool(sidecar, "stt")["metrics"]["items_made"] == 2, "a replacement")
        sidecar.settled()
        with RECORDING.open("rb") as recording:
            transcript = sidecar.client.transcribe(recording, grammar=["he was not an ill disposed young man", "no"])

        assert transcript.tier == "warm"
        assert transcript.json()["text"] == "he was not an ill disposed young man"


class TestInUse:
    def test_its_utterance_breaks_off_and_the_others_are_whole(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(3, most=3))
        reference = say(sidecar, LONG)[1]
        sidecar.settled()
        endings: list[bytes | None] = []

        with contextlib.ExitStack() as stack:
            speeches = [stack.enter_context(sidecar.client.speak(LONG, response_format="pcm")) for _ in range(3)]
            kill(min(workers(sidecar)))  # there are as many workers as utterances
            for speech in speeches:
                try:
                    endings.append(speech.read())
                except SpeechBrokenOff:
                    endings.append(None)

        assert endings.count(None) == 1
        assert all(is_whole(audio, reference) for audio in endings if audio is not None)
        sidecar.settled()
        assert say(sidecar)[0] == "warm"
        assert len(workers(sidecar)) == 3

    async def test_speech_events_end_with_an_error(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(1, most=1))

        async with unix_connect(str(sidecar.socket), "ws://speechpool/v1/speech/stream") as socket:
            await socket.send(json.dumps({"type": "speak", "id": "lost", "input": LONG}))
            await events(socket, "first_audio")
            kill(workers(sidecar).pop())
            lost = await events(socket, "error", "completed")
            await socket.send(json.dumps({"type": "speak", "id": "next", "input": TEXT}))
            following = await events(socket, "error", "completed")

        assert (lost[-1]["type"], lost[-1]["id"], lost[-1]["error"]["code"]) == ("error", "lost", "worker_died")
        assert (following[-1]["type"], following[-1]["id"]) == ("completed", "next")

    def test_a_session_gets_another_client_and_goes_on(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(1, most=1))
        reference = say(sidecar)[1]

        with sidecar.client.speak(LONG, response_format="pcm", session_id="call-1") as speech:
            kill(workers(sidecar).pop())
            with pytest.raises(SpeechBrokenOff):
                speech.read()

        assert is_whole(say(sidecar, session_id="call-1")[1], reference)
        until(lambda: sidecar.client.get_json("/v1/sessions/call-1")["state"] == "idle", "the session is idle")
        assert say(sidecar, session_id="call-1")[0] in WARM

    async def test_a_recognition_ends_with_an_error_that_says_try_again(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config={"pools": [{"name": "stt", "kind": "SpeechToText", "warmSize": 1}]})

        async with unix_connect(str(sidecar.socket), "ws://speechpool/v1/recognize/stream") as socket:
            await socket.send(json.dumps({"type": "config"}))
            await events(socket, "ready")
            await socket.send(RECORDING.read_bytes()[44:])
            await events(socket, "speech_start")
            kill(min(workers(sidecar, "sphinx")))
            for pid in workers(sidecar, "sphinx"):
                kill(pid)  # the replacement that was under way, if that was not the one
            told = await events(socket)

        assert told[-1]["type"] == "error"
        assert told[-1]["error"]["code"] == "worker_died"
        assert socket.close_code == 1013
        sidecar.settled()

    def test_a_codec_worker_breaks_off_what_it_encodes_and_is_replaced(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar("--codec-workers", "1", config=voices(2, most=2))
        plain = sidecar.client.speak(LONG, response_format="pcm")

        with plain as untouched, sidecar.client.speak(LONG, response_format="flac") as encoded:
            kill(workers(sidecar, "codec").pop())
            with pytest.raises(SpeechBrokenOff):
                encoded.read()
            assert len(untouched.read()) > 1_000_000

        assert say(sidecar, response_format="flac")[1].startswith(b"fLaC")
        sidecar.settled()


class TestWhileMade:
    def test_the_pool_tries_again_until_it_is_warm(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(1, most=1))
        reference = say(sidecar)[1]
        sidecar.settled()

        victim = killed_while_made(sidecar)
        until(lambda: pool(sidecar)["metrics"]["creations_failed"], "the failure is counted")
        sidecar.settled()

        tier, audio = say(sidecar)
        assert tier == "warm"
        assert is_whole(audio, reference)
        assert victim not in workers(sidecar)

    def test_a_caller_who_waits_for_it_is_served_or_refused(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(1, most=1))
        reference = say(sidecar)[1]
        sidecar.settled()
        (idle,) = workers(sidecar)
        kill(idle)
        made = until(lambda: workers(sidecar) - {idle}, "a replacement").pop()
        os.kill(made, signal.SIGSTOP)

        with ThreadPoolExecutor(1) as callers:
            answer = callers.submit(say, sidecar)
            until(lambda: pool(sidecar)["waiting"] or pool(sidecar)["items"]["out"], "the caller waits")
            kill(made)
            refusal = answer.exception(PATIENCE_SECONDS)

        if refusal is None:  # by a further client, which came before the failure of this one was known
            assert is_whole(answer.result()[1], reference)
        else:
            assert isinstance(refusal, SidecarRefused)
            assert (refusal.status, refusal.code) == (503, "worker_died")
        sidecar.settled()
        assert is_whole(say(sidecar)[1], reference)

    def test_one_killed_at_the_start_does_not_keep_the_sidecar_from_being_ready(self, start_sidecar: Start) -> None:
        sidecar = start_sidecar(config=voices(2), ready=False)
        kill(until(lambda: workers(sidecar), "the first worker").pop())

        sidecar.wait_for_log("sidecar ready")
        assert say(sidecar)[0] == "warm"
