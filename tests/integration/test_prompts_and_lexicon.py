# ruff: noqa: RUF001 - IPA letters look like others
"""The prompt cache and the lexicon through the real sidecar: settings file, socket, codecs, espeak-ng."""

import asyncio
import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.integration.faults import pool, voices
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, running_sidecar
from websockets.asyncio.client import unix_connect

Start = Callable[..., Sidecar]

GREETING = "Good morning, this is the SQL hotline."


def config(**values: Any) -> dict[str, Any]:
    return voices(1, most=1) | {"promptCacheBytes": 8 * 2**20} | values


def ask(sidecar: Sidecar, text: str = GREETING, **options: Any) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(sidecar.socket), verify=False)
    body = {"input": text, "response_format": "pcm", **options}
    with httpx.Client(transport=transport, timeout=PATIENCE_SECONDS) as client:
        return client.post("http://speechpool/v1/audio/speech", json=body).raise_for_status()


def tier(reply: httpx.Response) -> str:
    return reply.headers["x-speechpool-tier"]


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar for every format: each is remembered for itself."""
    directory = tmp_path_factory.mktemp("prompts")
    with running_sidecar(directory, "--telemetry-address", "127.0.0.1:0", config=config()) as sidecar:
        yield sidecar


def counted(sidecar: Sidecar) -> tuple[float, ...]:
    """Clients handed out, and what the cache found and holds."""
    with urllib.request.urlopen(f"http://{sidecar.listening('telemetryAddress')}/metrics") as reply:
        metrics = reply.read().decode()
    assert "hotline" not in metrics + sidecar.stderr_text
    lines = dict(line.rsplit(" ", 1) for line in metrics.splitlines())
    names = ("speechpool_prompt_cache_hits_total", "speechpool_prompt_cache_entries")
    return (pool(sidecar)["metrics"]["allocations_total"], *(float(lines[name]) for name in names))


@pytest.mark.parametrize("response_format", ["pcm", "wav", "mp3", "opus", "flac"])
def test_a_greeting_is_said_once_and_then_comes_from_memory(remembering: Sidecar, response_format: str) -> None:
    before = counted(remembering)
    first, second = (ask(remembering, response_format=response_format) for _ in range(2))

    assert (tier(first), tier(second)) == ("warm", "cached")
    assert second.content == first.content
    assert second.headers["x-speechpool-wait-ms"] == "0.000"
    assert counted(remembering) == tuple(count + 1 for count in before)


async def test_a_websocket_gets_the_words_of_a_cached_greeting_too(start_sidecar: Start) -> None:
    sidecar = start_sidecar(config=config(lexicon=[{"word": "SQL", "alias": "ess queue ell"}]))
    turns: list[list[dict[str, Any]]] = []
    audio: list[bytes] = []

    async with unix_connect(str(sidecar.socket), "ws://speechpool/v1/speech/stream") as socket:
        for _ in range(2):
            await socket.send(json.dumps({"type": "speak", "input": GREETING}))
            events: list[dict[str, Any]] = []
            audio.append(b"")
            while not events or events[-1]["type"] != "completed":
                message = await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
                if isinstance(message, bytes):
                    audio[-1] += message
                else:
                    events.append(json.loads(message))
            turns.append(events)

    words = [[each for each in events if each["type"] == "word"] for events in turns]
    assert [events[-1]["tier"] for events in turns] == ["warm", "cached"]
    assert [word["text"] for word in words[0]] == ["Good", "morning", "this", "is", "the", "SQL", "hotline"]
    assert all(GREETING[word["text_offset"] :].startswith(word["text"]) for word in words[0])
    assert [word | {"id": ""} for word in words[1]] == [word | {"id": ""} for word in words[0]]
    assert audio[0] == audio[1]


def test_a_new_lexicon_is_heard_at_once_also_where_the_old_one_was_cached(start_sidecar: Start) -> None:
    sidecar = start_sidecar(config=config())
    before = ask(sidecar)
    assert tier(ask(sidecar)) == "cached"

    sidecar.write_config(config(lexicon=[{"word": "SQL", "alias": "the structured query language"}]))
    sidecar.signal(signal.SIGHUP)
    sidecar.wait_for_log("settings applied")
    after = ask(sidecar)

    assert tier(after) == "warm"
    assert len(after.content) > len(before.content) * 1.2


def test_sounds_that_the_engine_does_not_speak_are_refused_with_the_whole_file(start_sidecar: Start) -> None:
    sidecar = start_sidecar(config=config())

    sidecar.write_config(config(maxSessions=7, lexicon=[{"word": "SQL", "ipa": "siːkwəl"}]))
    sidecar.signal(signal.SIGHUP)
    problems = sidecar.wait_for_log("settings refused")["problems"]

    assert problems == ["lexicon[0].ipa (of 'SQL'): engine 'local' speaks no phonemes; use alias"]
    told = sidecar.client.get_json("/v1/config")
    assert [source["problems"] for source in told["sources"] if source["source"] == "file"] == [problems]
    assert told["settings"]["maxSessions"] != 7
    assert told["settings"].get("lexicon", []) == []
    assert tier(ask(sidecar)) == "warm"


def test_ssml_with_a_lexicon_is_spoken_and_its_words_are_the_documents(start_sidecar: Start) -> None:
    sidecar = start_sidecar(config=config(lexicon=[{"word": "SQL", "alias": "sequel"}]))
    plain = ask(sidecar, "<speak>My sequel.</speak>", input_type="ssml")
    aliased = ask(sidecar, "<speak>My SQL.</speak>", input_type="ssml")
    untouched = ask(sidecar, "<speak>My <sub alias='database'>SQL</sub>.</speak>", input_type="ssml")

    assert tier(aliased) == "warm"
    assert abs(len(aliased.content) - len(plain.content)) < 9_600  # two renderings differ by some samples
    assert abs(len(untouched.content) - len(plain.content)) > 9_600
