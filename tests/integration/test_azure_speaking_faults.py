"""Synthesis with Azure's real SDK against the emulator: what goes wrong, one test a row of the error table."""

import asyncio
import logging
from typing import Any

import pytest
from tests.integration.azure_patience import asks_soon, patient
from tests.integration.azure_speaking import (
    KEY,
    LIMIT_SECONDS,
    PCM24,
    Studio,
    first_audio,
    hear,
    held,
    studio_at,
    utterance,
)
from tests.integration.azure_studio import emulator, service, studio
from tests.waiting import until

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    InvalidInput,
    SpeechPoolError,
    Throttled,
)
from speechpool.speech.azure import speaking as speaking_module
from speechpool.speech.azure.credentials import FixedCredential
from speechpool.speech.engine import AudioChunk, Speaking
from speechpool_azure_emulator import Fault, marks_in, running_emulator

__all__ = ["asks_soon", "emulator", "patient", "service", "studio"]

LONG = "one two three four five six seven eight nine ten " * 4
THROTTLED = "Throttled due to too many requests"


async def the_rest(speaking: Speaking, audio: list[bytes]) -> None:
    """Read on to the end."""
    async with asyncio.timeout(LIMIT_SECONDS):
        async for event in speaking:
            if isinstance(event, AudioChunk):
                audio.append(event.data)


async def settled(studio: Studio, emulator: Any, before: tuple[int, int]) -> None:
    """All clients are closed: no thread, socket or file is left but the idle ones of ours."""
    for client in studio.clients:
        await client.close()
    await studio.quiet()
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    await until(lambda: held()[0] <= before[0] + 8 and held()[1] <= before[1])


# --- a connection that does not open -------------------------------------------------------------------------------


@pytest.mark.usefixtures("asks_soon")
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EngineUnavailable),
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, EngineUnavailable),
        (429, Throttled),
        (500, EngineUnavailable),
        (502, EngineUnavailable),
        (503, EngineUnavailable),
    ],
)
async def test_a_refused_connection_is_told_with_its_reason(
    emulator, status: int, error: type[SpeechPoolError]
) -> None:
    emulator.faults.set(Fault(at="upgrade", action="refuse", status=status, retry_after_seconds=7))
    async with studio_at(emulator.url) as studio:
        before = held()
        client = studio.client()
        with pytest.raises(error) as raised:
            await client.warm()
        assert type(raised.value) is error
        assert not client.is_ready
        assert not client.is_reusable
        if isinstance(raised.value, Throttled):
            assert raised.value.retry_after_seconds == 7
        assert studio.endpoint.failures == {error.__name__: 1}
        emulator.faults.clear()
        assert (await studio.say(await studio.warm())).audio
        await settled(studio, emulator, before)


@pytest.mark.usefixtures("asks_soon")
async def test_a_wrong_key_is_told_before_the_connect_deadline_and_shown_nowhere(caplog) -> None:
    with running_emulator(keys={"main": KEY}) as emulator, caplog.at_level(logging.DEBUG):
        wrong = KEY[::-1]
        async with studio_at(emulator.url, FixedCredential("AZURE_SPEECH_KEY", wrong)) as studio:
            with pytest.raises(AuthenticationFailed) as raised:  # EngineTimeout at the deadline
                await studio.client().warm()
            assert studio.probe.asked == 1
    assert wrong not in f"{raised.value!r} {caplog.text} {studio.clients!r} {studio.endpoint!r}"


@pytest.mark.usefixtures("asks_soon")
async def test_a_closed_port_is_told(unused_tcp_port: int) -> None:
    async with studio_at(f"ws://127.0.0.1:{unused_tcp_port}") as studio:
        with pytest.raises(EngineUnavailable):
            await studio.client().warm()


async def test_an_upgrade_that_is_never_answered_is_told_at_the_deadline(emulator) -> None:
    emulator.faults.set(Fault(at="upgrade", action="ignore"))
    async with studio_at(emulator.url, connect_timeout_seconds=0.4) as studio:
        client = studio.client()
        with pytest.raises((EngineTimeout, EngineUnavailable)):
            await client.warm()
        assert not client.is_reusable
        await studio.quiet()
        assert studio.threads.stuck == 0


@pytest.mark.usefixtures("asks_soon")
async def test_a_slow_upgrade_is_waited_for_whatever_the_probe_says(studio: Studio, emulator) -> None:
    emulator.configure(upgrade_seconds=0.6)
    assert (await studio.warm()).is_ready
    assert studio.probe.asked == 1


async def test_without_a_credential_there_is_no_client(emulator) -> None:
    class Nothing(FixedCredential):
        @property
        def problem(self) -> str | None:
            return "AZURE_SPEECH_KEY is not set"

    async with studio_at(emulator.url, Nothing("AZURE_SPEECH_KEY", KEY)) as studio:
        client = studio.client()
        with pytest.raises(AuthenticationFailed, match="is not set"):
            await client.warm()
        assert not client.is_reusable


async def test_an_expired_credential_makes_no_ready_client(emulator) -> None:
    class Expiring(FixedCredential):
        has_expired = False

        @property
        def problem(self) -> str | None:
            return "expired" if self.has_expired else None

    source = Expiring("token", KEY)
    async with studio_at(emulator.url, source) as studio:
        client = await studio.warm()
        source.has_expired = True
        assert not client.is_ready
        assert not client.is_reusable


# --- a request that fails ------------------------------------------------------------------------------------------

BEFORE_AUDIO = [
    ("close 1001", Fault(at="request", action="close", code=1001), EngineFailed),
    ("close 1002", Fault(at="request", action="close", code=1002), EngineFailed),
    ("close 1007 throttled", Fault(at="request", action="close", code=1007, reason=THROTTLED), Throttled),
    ("close 1007 refused", Fault(at="request", action="close", code=1007, reason="Bad SSML"), InvalidInput),
    (
        "close 1008 expired",
        Fault(at="request", action="close", code=1008, reason="Token expired"),
        AuthenticationFailed,
    ),
    ("close 1011", Fault(at="request", action="close", code=1011), EngineFailed),
    ("close 1013", Fault(at="request", action="close", code=1013), EngineFailed),
    ("close 4429", Fault(at="request", action="close", code=4429), Throttled),
    ("reset", Fault(at="request", action="reset"), EngineUnavailable),
    ("hang up", Fault(at="request", action="hang_up"), EngineUnavailable),
    ("freeze", Fault(at="request", action="freeze"), EngineTimeout),
    ("freeze after turn.start", Fault(at="audio", action="freeze"), EngineTimeout),
    ("close 1000", Fault(at="request", action="close", code=1000), EngineTimeout),
    ("no turn.start", Fault(at="turn_start", action="omit"), EngineTimeout),
    ("no audio", Fault(at="audio", action="omit"), EngineFailed),
]
IN_MID_AUDIO = [
    *(
        (f"close {code}", Fault(at="audio", action="close", code=code, after_bytes=9_600), EngineFailed)
        for code in (1001, 1002, 1003, 1008, 1009, 1011, 1012, 1013, 4400, 4401, 4500)
    ),
    ("close 4429", Fault(at="audio", action="close", code=4429, after_bytes=9_600), Throttled),
    ("close 1000", Fault(at="audio", action="close", code=1000, after_bytes=9_600), EngineTimeout),
    ("reset", Fault(at="audio", action="reset", after_bytes=9_600), EngineFailed),
    ("hang up", Fault(at="audio", action="hang_up", after_bytes=9_600), EngineFailed),
    ("freeze", Fault(at="audio", action="freeze", after_bytes=9_600), EngineTimeout),
    ("no turn.end", Fault(at="turn_end", action="omit"), EngineTimeout),
]
IMPATIENT_FOR_MORE = {
    "properties": {"SpeechSynthesis_FrameTimeoutInterval": "300", "SpeechSynthesis_RtfTimeoutThreshold": "0"}
}
IMPATIENT = {"sdk_first_chunk_timeout_seconds": 0.3, **IMPATIENT_FOR_MORE}


@pytest.mark.parametrize(("fault", "error"), [row[1:] for row in BEFORE_AUDIO], ids=[row[0] for row in BEFORE_AUDIO])
async def test_before_the_first_audio(studio: Studio, emulator, fault: Fault, error: type[SpeechPoolError]) -> None:
    before = held()
    client = await studio.warm(**(IMPATIENT if error is EngineTimeout else {}))
    emulator.faults.set(fault)
    with pytest.raises(error) as raised:
        await hear(client.speak(utterance("swordfish is the word")))
    assert type(raised.value) is error
    assert "swordfish" not in str(raised.value)
    assert emulator.counts.utterances <= 1  # the SDK tried no second time
    emulator.faults.clear()
    if not issubclass(error, InvalidInput):
        assert not client.is_reusable
        assert studio.endpoint.failures == {error.__name__: 1}
    assert (await studio.say(await studio.warm())).audio
    await settled(studio, emulator, before)


@pytest.mark.parametrize(("fault", "error"), [row[1:] for row in IN_MID_AUDIO], ids=[row[0] for row in IN_MID_AUDIO])
async def test_in_mid_audio(studio: Studio, emulator, fault: Fault, error: type[SpeechPoolError]) -> None:
    before = held()
    client = await studio.warm(**(IMPATIENT_FOR_MORE if error is EngineTimeout else {}))
    emulator.faults.set(fault)
    speaking = client.speak(utterance(LONG))
    audio = [await first_audio(speaking)]
    with pytest.raises(error) as raised:
        await the_rest(speaking, audio)
    assert type(raised.value) is error
    said = emulator.utterances[-1]
    assert marks_in(b"".join(audio)) == {said.mark}  # what came before the failure is handed out
    assert emulator.counts.utterances == 1
    assert not client.is_reusable
    emulator.faults.clear()
    assert (await studio.say(await studio.warm())).audio
    await settled(studio, emulator, before)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EngineUnavailable),
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, EngineUnavailable),
        (408, EngineTimeout),
        (429, Throttled),
        (500, EngineUnavailable),
        (503, EngineUnavailable),
    ],
)
async def test_a_connection_that_is_lost_and_refused_again(
    studio: Studio, emulator, status: int, error: type[SpeechPoolError]
) -> None:
    client = await studio.warm(sdk_retries=1)
    emulator.faults.set(
        Fault(at="request", action="reset", times=1), Fault(at="upgrade", action="refuse", status=status)
    )
    speaking = client.speak(utterance())
    with pytest.raises(error) as raised:
        await hear(speaking)
    assert type(raised.value) is error
    assert not speaking.report.was_warm
    assert not client.is_reusable


async def test_a_connection_lost_before_the_audio_is_known_to_the_report(studio: Studio, emulator) -> None:
    client = await studio.warm()
    emulator.faults.set(Fault(at="request", action="close", code=1011))
    speaking = client.speak(utterance())
    with pytest.raises(EngineFailed):
        await hear(speaking)
    await studio.quiet()
    assert speaking.report.endpoint == studio.endpoint.name
    assert speaking.report.reference


# --- our own deadlines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["request", "turn_start", "audio"])
async def test_a_silent_service_is_cancelled_at_once_and_its_connection_not_used_again(
    studio: Studio, emulator, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(speaking_module, "_SUSPECT_SECONDS", 0.05)
    before = held()
    client = await studio.warm()
    emulator.faults.set(Fault(at=at, action="freeze", times=1))
    speaking = client.speak(utterance())
    await emulator.until(lambda: emulator.counts.utterances == 1 or emulator.faults.struck(), seconds=LIMIT_SECONDS)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(speaking)
    await speaking.cancel()
    assert await speaking.wait_over(LIMIT_SECONDS)
    assert not client.is_reusable
    await settled(studio, emulator, before)


async def test_a_frozen_peer_in_mid_audio_is_released_within_the_reapers_limit(studio: Studio, emulator) -> None:
    before = held()
    client = await studio.warm()
    emulator.faults.set(Fault(at="audio", action="freeze", after_bytes=9_600, times=1))
    speaking = client.speak(utterance(LONG))
    await first_audio(speaking)
    await client.close()
    await studio.quiet()
    assert studio.threads.stuck == 0
    await settled(studio, emulator, before)


async def test_a_stopped_service_and_one_that_starts_again(studio: Studio, emulator) -> None:
    clients = [await studio.warm() for _ in range(3)]
    lost: list[int] = []
    for client in clients:
        client.on_lost(lambda: lost.append(1))
    emulator.configure(pace=1.0)
    speaking = clients[0].speak(utterance(LONG))
    await first_audio(speaking)
    emulator.restart()
    with pytest.raises(SpeechPoolError):
        await the_rest(speaking, [])
    await until(lambda: len(lost) >= 2)
    assert not any(client.is_ready for client in clients)
    assert (await studio.say(await studio.warm())).audio


async def test_a_network_that_is_lost_silently_is_like_a_silent_service(studio: Studio, emulator) -> None:
    client = await studio.warm(sdk_first_chunk_timeout_seconds=0.3)
    emulator.lose_network(silently=True)
    try:
        with pytest.raises((EngineTimeout, EngineUnavailable)):
            await hear(client.speak(utterance()))
        assert not client.is_reusable
    finally:
        emulator.restore_network()


async def test_garbage_between_the_messages_is_not_heard(studio: Studio, emulator) -> None:
    client = await studio.warm()
    for at in ("request", "turn_start", "audio", "turn_end"):
        emulator.faults.set(Fault(at=at, action="garbage", times=1))
        heard = await studio.say(client, word_boundaries=True)
        assert marks_in(heard.audio) == {emulator.utterances[-1].mark}
        assert len(heard.words) == 4
    assert emulator.counts.upgrades == 1


async def test_a_connection_older_than_the_service_allows_is_replaced_before_it_is_used(emulator) -> None:
    async with studio_at(emulator.url) as studio:
        client = await studio.warm(PCM24)
        gone = asyncio.Event()
        client.on_lost(gone.set)
        emulator.configure(max_connection_seconds=0.05)
        async with asyncio.timeout(LIMIT_SECONDS):
            await gone.wait()
        assert not client.is_ready
