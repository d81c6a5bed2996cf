"""Many sessions at once with the real engine: nobody hears another's sentence."""

import contextlib
import random
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
from tests.integration.faults import LONG, is_part_of, is_whole, pool, sentence, voices, workers
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar

Start = Callable[..., Sidecar]

SESSIONS = 12
ROUNDS = 2


@dataclass(frozen=True)
class Heard:
    """What a session heard of one utterance."""

    text: str
    audio: bytes
    was_canceled: bool
    tier: str


def http(sidecar: Sidecar) -> httpx.Client:
    """A client with as many connections as it needs."""
    limits = httpx.Limits(max_connections=None)
    transport = httpx.HTTPTransport(uds=str(sidecar.socket), limits=limits, verify=False)
    return httpx.Client(transport=transport, base_url="http://speechpool", timeout=PATIENCE_SECONDS)


def speak(client: httpx.Client, text: str, session: str | None = None, cancel_after: int | None = None) -> Heard:
    """One utterance; barge-in once so many bytes were heard."""
    body = {"input": text, "response_format": "pcm", "sample_rate": 24_000} | (
        {"session_id": session} if session else {}
    )
    audio, canceled = bytearray(), False
    with client.stream("POST", "/v1/audio/speech", json=body) as reply:
        assert reply.status_code == 200, reply.read()
        for chunk in reply.iter_raw():
            audio += chunk
            if cancel_after is not None and len(audio) >= cancel_after:
                cancel_after = None
                canceled = client.post(f"/v1/sessions/{session}/cancel").raise_for_status().json()["canceled"]
    return Heard(text, bytes(audio), canceled, reply.headers["x-speechpool-tier"])


def conversation(client: httpx.Client, number: int) -> list[Heard]:
    """One session: set up, some sentences of its own, some of them interrupted, hung up."""
    chance = random.Random(number)
    session = urllib.parse.quote(f"call-{number}")
    client.put(f"/v1/sessions/{session}").raise_for_status()
    heard = []
    for turn in range(ROUNDS):
        cancel_after = chance.randrange(1, 400_000) if chance.random() < 0.5 else None
        heard.append(speak(client, sentence(100 * number + turn, words=60), session, cancel_after))
    client.delete(f"/v1/sessions/{session}").raise_for_status()
    return heard


def test_each_session_hears_its_own_sentences_and_nothing_else(start_sidecar: Start) -> None:
    """Fewer clients than sessions: each client serves several, and each must forget the one before."""
    sidecar = start_sidecar(config=voices(4, most=6, acquireTimeoutSeconds=PATIENCE_SECONDS))
    with http(sidecar) as client, ThreadPoolExecutor(SESSIONS) as callers:
        conversations = list(callers.map(lambda number: conversation(client, number), range(SESSIONS)))
        heard = [utterance for one in conversations for utterance in one]
        references = list(callers.map(lambda utterance: speak(client, utterance.text).audio, heard))

    assert sum(utterance.was_canceled for utterance in heard) > 0
    for utterance, reference in zip(heard, references, strict=True):
        alike = is_part_of if utterance.was_canceled else is_whole
        assert alike(utterance.audio, reference)
    assert {utterance.tier for utterance in heard} == {"dedicated"}
    sidecar.settled()
    assert sidecar.client.get_json("/v1/sessions")["data"] == []
    assert pool(sidecar)["active_sessions"] == 0
    assert len(workers(sidecar)) <= 6


def test_a_second_utterance_on_a_session_is_409_and_leaves_the_first_whole(start_sidecar: Start) -> None:
    sidecar = start_sidecar(config=voices(2))
    with http(sidecar) as client, contextlib.ExitStack() as stack:
        reference = speak(client, LONG).audio
        first = stack.enter_context(sidecar.client.speak(LONG, response_format="pcm", session_id="call-1"))
        busy = client.post("/v1/audio/speech", json={"input": "Two at once.", "session_id": "call-1"})
        other = speak(client, sentence(3, words=5), "call-2")
        audio = first.read()
        after = speak(client, sentence(3, words=5), "call-1")

    assert busy.status_code == 409
    assert busy.json()["error"]["code"] == "session_busy"
    assert is_whole(audio, reference)
    assert is_whole(after.audio, other.audio)
    assert after.tier == "dedicated"
