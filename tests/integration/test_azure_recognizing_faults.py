"""Recognition with Azure's real SDK against the emulator: what goes wrong, one test a row of the error table."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.azure_listening import LIMIT_SECONDS, feed, finals, line_to, next_final, quiet, sound, texts

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    SpeechPoolError,
    Throttled,
)
from speechpool.speech.azure.credentials import Credential, CredentialSource, FixedCredential
from speechpool.speech.azure.sdk_recognizer import SdkRecognizer
from speechpool.speech.engine import RecognitionOptions
from speechpool_azure_emulator import Fault, running_emulator

KEY = "0123456789abcdef0123456789abcdef"

QUICK = {"SPEECH-Error-RetryDurationMS": "20"}
"""The SDK's pause before it connects again: 250 ms otherwise."""


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(service) -> Iterator[Any]:
    yield service
    service.faults.clear()
    service.reset_records()


@pytest.fixture
async def line(emulator):
    async with line_to(emulator.url, properties=QUICK) as line:
        yield line


def refuse(status: int, **fields: Any) -> Fault:
    return Fault(at="upgrade", action="refuse", kind="stt", status=status, **fields)


# --- a connection that does not open -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EngineUnavailable),
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, EngineUnavailable),
        (429, Throttled),
        (500, EngineUnavailable),
        (503, EngineUnavailable),
    ],
)
async def test_a_refused_connection_says_why_at_once(line, emulator, status, error) -> None:
    emulator.faults.set(refuse(status))
    client = line.client()
    with pytest.raises(error) as refused:
        await asyncio.wait_for(client.warm(), LIMIT_SECONDS)
    assert type(refused.value) is error
    assert line.endpoint.name in str(refused.value)
    assert (client.is_ready, client.is_reusable) == (False, False)
    assert line.endpoint.failures == {error.__name__: 1}
    assert emulator.counts.upgrades == 1, "a pool tries again, with its own back-off"


async def test_a_closed_port_says_so_at_once() -> None:
    async with line_to("ws://127.0.0.1:9") as line:
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            await line.warm()


async def test_a_connection_that_is_never_answered_ends_at_the_deadline_with_the_probes_reason(emulator) -> None:
    emulator.faults.set(Fault(at="upgrade", action="ignore", kind="stt"))
    async with line_to(emulator.url, connect_timeout_seconds=0.3) as line:
        client = line.client()
        with pytest.raises(EngineTimeout, match="probe"):
            await client.warm()
        assert not client.is_reusable
        assert line.endpoint.failures == {"EngineTimeout": 1}


async def test_warming_may_be_cancelled_at_any_time(emulator) -> None:
    emulator.faults.set(Fault(at="upgrade", action="ignore", kind="stt"))
    async with line_to(emulator.url) as line:
        client = line.client()
        warming = asyncio.create_task(client.warm())
        await emulator.until(lambda: emulator.counts.upgrades == 1, seconds=LIMIT_SECONDS)
        warming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await warming
        await client.close()
        assert not line.endpoint.failures


async def test_without_a_credential_nothing_is_tried(emulator) -> None:
    async with line_to(emulator.url, CredentialSource("AZURE_SPEECH_KEY")) as line:
        with pytest.raises(AuthenticationFailed, match="AZURE_SPEECH_KEY"):
            await line.warm()
    assert emulator.counts.upgrades == 0


async def test_a_wrong_key_is_not_shown() -> None:
    with running_emulator(keys={"good": "f" * 32}) as emulator:
        async with line_to(emulator.url, FixedCredential("AZURE_SPEECH_KEY", KEY)) as line:
            client = line.client()
            with pytest.raises(AuthenticationFailed) as refused:
                await client.warm()
            assert KEY not in f"{refused.value} {client!r} {line.endpoint!r} {refused.value.__cause__}"


# --- a connection that is lost while nobody uses it ----------------------------------------------------------------


@pytest.mark.parametrize("fault", [{"code": 1000}, {"code": 1001}, {"code": 1011}, {"action": "reset"}], ids=str)
async def test_a_connection_lost_while_idle_is_told_once(line, emulator, fault) -> None:
    client = await line.warm()
    lost = asyncio.Event()
    calls: list[None] = []
    client.on_lost(lambda: (calls.append(None), lost.set()))
    emulator.faults.set(Fault(at="idle", kind="stt", times=1, **{"action": "close", **fault}))
    await asyncio.wait_for(lost.wait(), LIMIT_SECONDS)
    assert (client.is_ready, client.is_reusable, len(calls)) == (False, False, 1)
    with pytest.raises(EngineFailed):
        client.recognize(RecognitionOptions())
    await client.close()
    assert len(calls) == 1


# --- a connection that is lost within a session --------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [{"code": 1000}, {"code": 1001}, {"code": 1011}, {"code": 1013}, {"code": 4401}, {"action": "reset"}],
    ids=str,
)
async def test_one_loss_is_made_up_for_with_nothing_lost_and_all_times_right(line, emulator, fault) -> None:
    """The SDK connects again and sends what has no result yet; the service begins to count from 0."""
    emulator.transcripts.say("first", "lost with the connection", "sent again", "third")
    fault = {"action": "close", **fault}
    emulator.faults.set(Fault(at="audio", kind="stt", after_bytes=round(2.2 * 32_000), times=1, **fault))
    recognizing = (await line.warm()).recognize(RecognitionOptions(words=True, partials=False))
    await recognizing.write(sound(1.0) + quiet(0.7))
    first = await next_final(recognizing)
    events = await feed(recognizing, sound(1.0), quiet(0.7), sound(1.0), quiet(0.7))
    heard = [first, *finals(events)]
    assert [final.text for final in heard] == ["first", "sent again", "third"]
    assert [round(final.offset_seconds, 2) for final in heard] == [0.0, 1.7, 3.4]
    assert [round(final.duration_seconds, 2) for final in heard] == [1.0, 1.0, 1.0]
    assert [round(final.words[0].start_seconds, 2) for final in heard] == [0.0, 1.7, 3.4]
    assert line.endpoint.reconnects == 1
    assert recognizing.report.was_warm, "its first audio rode the connection that was open before"
    assert not line.endpoint.failures


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"code": 1002}, EngineFailed),
        ({"code": 1007, "reason": "Invalid audio"}, EngineFailed),
        ({"code": 1007, "reason": "Throttled due to too many requests"}, Throttled),
        ({"code": 4429}, Throttled),
    ],
    ids=str,
)
async def test_a_connection_closed_for_good_ends_the_session_with_the_reason(line, emulator, fault, error) -> None:
    emulator.faults.set(Fault(at="audio", kind="stt", after_bytes=16_000, **{"action": "close", **fault}))
    client = await line.warm()
    recognizing = client.recognize(RecognitionOptions())
    with pytest.raises(error) as failed:
        await feed(recognizing, sound(1.0))
    assert type(failed.value) is error
    assert (client.is_ready, client.is_reusable) == (False, False)
    assert line.endpoint.failures == {error.__name__: 1}
    with pytest.raises(error):
        await anext(recognizing)


@pytest.mark.parametrize("fault", [{"code": 1001}, {"code": 1011}, {"action": "reset"}], ids=str)
async def test_a_connection_lost_again_and_again_ends_the_session(line, emulator, fault) -> None:
    """The SDK tries four times more; which of its failures is the last, a close or the write after it, is chance."""
    emulator.faults.set(Fault(at="audio", kind="stt", after_bytes=16_000, **{"action": "close", **fault}))
    client = await line.warm()
    with pytest.raises((EngineFailed, EngineUnavailable)):
        await feed(client.recognize(RecognitionOptions()), sound(1.0))
    assert not client.is_reusable
    assert line.endpoint.failures.total() == 1
    assert emulator.counts.upgrades == 5


async def test_a_service_that_refuses_to_connect_again_ends_the_session_with_its_reason(line, emulator) -> None:
    client = await line.warm()
    emulator.faults.set(Fault(at="audio", action="reset", kind="stt", after_bytes=16_000), refuse(429))
    recognizing = client.recognize(RecognitionOptions())
    with pytest.raises(Throttled):
        await feed(recognizing, sound(1.0))


async def test_a_service_that_never_answers_the_new_connection_ends_the_session(emulator) -> None:
    async with line_to(emulator.url, properties=QUICK) as line:
        client = await line.warm()
        client._options = replace(client._options, connect_timeout_seconds=0.2)
        emulator.faults.set(
            Fault(at="audio", action="reset", kind="stt", after_bytes=16_000),
            Fault(at="upgrade", action="ignore", kind="stt"),
        )
        with pytest.raises(EngineTimeout, match="did not come back within 1 s"):
            await feed(client.recognize(RecognitionOptions()), sound(1.0))


async def test_a_connection_lost_at_the_first_audio_counts_as_not_warm(line, emulator) -> None:
    emulator.faults.set(Fault(at="request", action="close", kind="stt", code=1011, times=1))
    recognizing = (await line.warm()).recognize(RecognitionOptions())
    assert texts(await feed(recognizing, sound(0.5)))
    assert not recognizing.report.was_warm
    assert recognizing.report.connect_seconds > 0


# --- what a service says instead of a result -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("Error", EngineFailed),
        ("TooManyRequests", Throttled),
        ("BadRequest", EngineFailed),
        ("Forbidden", AuthenticationFailed),
        ("ServiceUnavailable", EngineUnavailable),
        ("Unheard of", EngineFailed),
    ],
)
async def test_a_phrase_that_is_an_error_ends_the_session(line, emulator, status, error) -> None:
    emulator.faults.set(Fault(at="phrase", action="status", kind="stt", recognition_status=status))
    client = await line.warm()
    with pytest.raises(error) as failed:
        await feed(client.recognize(RecognitionOptions()), sound(0.5), quiet(0.7))
    assert type(failed.value) is error
    assert not client.is_reusable


@pytest.mark.parametrize("status", ["NoMatch", "InitialSilenceTimeout", "BabbleTimeout"])
async def test_what_was_not_understood_has_no_text_and_is_no_error(line, emulator, status) -> None:
    emulator.transcripts.say("not understood", "understood")
    emulator.faults.set(Fault(at="phrase", action="status", kind="stt", recognition_status=status, times=1))
    assert texts(await line.hear(sound(0.5), quiet(0.7), sound(0.5))) == ["understood"]


async def test_garbage_between_messages_is_ignored(line, emulator) -> None:
    emulator.faults.set(Fault(at="phrase", action="garbage", kind="stt"))
    assert texts(await line.hear(sound(0.5)))


# --- a service that says nothing -----------------------------------------------------------------------------------


@pytest.fixture
async def shows_turns(line) -> None:
    """Within a process the beginning of a turn is known to be visible once one was seen."""
    await line.hear(sound(0.2))
    assert SdkRecognizer.shows_turns


@pytest.mark.usefixtures("shows_turns")
async def test_a_service_that_does_not_begin_ends_the_session(emulator) -> None:
    async with line_to(emulator.url, recognition_answer_seconds=0.3) as line:
        client = await line.warm()
        emulator.faults.set(Fault(at="request", action="freeze", kind="stt"))
        with pytest.raises(EngineTimeout, match=r"did not answer within 0\.3 s of the first audio"):
            await feed(client.recognize(RecognitionOptions()), sound(0.5), ends=False)


@pytest.mark.usefixtures("shows_turns")
async def test_a_quiet_line_that_the_service_listens_to_is_no_failure(emulator) -> None:
    async with line_to(emulator.url, recognition_answer_seconds=LIMIT_SECONDS) as line:
        recognizing = (await line.warm()).recognize(RecognitionOptions())
        await recognizing.write(quiet(0.5))
        async with asyncio.timeout(LIMIT_SECONDS):
            while not recognizing._recognizer.has_turn_begun:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.005)
        recognizing._patience._answer_seconds = 0.0  # the time to answer is over, with the answer there
        assert texts(await feed(recognizing, sound(0.5)))


async def test_audio_of_which_nothing_is_said_ends_the_session(emulator, monkeypatch) -> None:
    """As where the beginning of a turn cannot be seen."""
    monkeypatch.setattr(SdkRecognizer, "shows_turns", False)
    async with line_to(emulator.url, recognition_silent_seconds=0.5) as line:
        client = await line.warm()
        emulator.faults.set(Fault(at="request", action="freeze", kind="stt"))
        with pytest.raises(EngineTimeout, match=r"said nothing of 0\.5 s of audio"):
            await feed(client.recognize(RecognitionOptions()), sound(1.0), ends=False)
        assert line.endpoint.failures == {"EngineTimeout": 1}


async def test_a_service_that_freezes_within_a_session_ends_it(emulator) -> None:
    async with line_to(emulator.url, recognition_silent_seconds=0.5) as line:
        emulator.faults.set(Fault(at="audio", action="freeze", kind="stt", after_bytes=16_000))
        recognizing = (await line.warm()).recognize(RecognitionOptions())
        with pytest.raises(EngineTimeout, match="said nothing"):
            await _speak_on(recognizing)


async def _speak_on(recognizing: Any) -> None:
    while True:
        await recognizing.write(sound(0.1))
        await asyncio.sleep(0.02)


async def test_an_end_of_the_audio_that_is_not_answered_ends_the_session(emulator) -> None:
    async with line_to(emulator.url, recognition_end_seconds=0.2) as line:
        emulator.faults.set(Fault(at="turn_end", action="omit", kind="stt"))
        with pytest.raises(EngineTimeout, match="after the end of the audio"):
            await feed((await line.warm()).recognize(RecognitionOptions()), sound(0.3))


async def test_cancelling_against_a_frozen_service_returns_at_once_and_releases_in_time(emulator) -> None:
    async with line_to(emulator.url, stop_timeout_seconds=1) as line:
        client = await line.warm()
        emulator.faults.set(Fault(at="request", action="freeze", kind="stt"))
        recognizing = client.recognize(RecognitionOptions())
        await recognizing.write(sound(0.5))
        await emulator.until(lambda: emulator.counts.recognitions == 1, seconds=LIMIT_SECONDS)
        with client._recognizer._lock:  # as long as an SDK that waits for the service
            await recognizing.cancel()
            await client.close()
            assert line.threads.disposing == 1
        assert [event async for event in recognizing] == []


# --- nothing is left -----------------------------------------------------------------------------------------------


async def test_failures_leave_no_thread_socket_or_descriptor(emulator) -> None:
    async with line_to(emulator.url, properties=QUICK) as line:
        await line.hear(sound(0.2))
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    threads, descriptors = threading.active_count(), _descriptors()
    async with line_to(emulator.url, properties=QUICK) as line:
        for fault in (
            Fault(at="audio", action="close", code=4429, kind="stt", after_bytes=8_000),
            Fault(at="phrase", action="status", kind="stt", recognition_status="Error"),
            refuse(403),
        ):
            emulator.faults.set(fault)
            for _ in range(4):
                with pytest.raises(SpeechPoolError):
                    await line.hear(sound(0.5))
    await emulator.until(lambda: emulator.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    async with asyncio.timeout(LIMIT_SECONDS):
        while threading.active_count() > threads or _descriptors() > descriptors:  # noqa: ASYNC110 - of the system's
            await asyncio.sleep(0.01)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number, not paths


async def test_no_text_is_in_what_is_logged_or_raised(line, emulator, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.transcripts.say("my secret words")
    emulator.faults.set(Fault(at="turn_end", action="close", code=1007, reason="bad", kind="stt"))
    with pytest.raises(SpeechPoolError) as failed:
        await feed((await line.warm()).recognize(RecognitionOptions(phrases=("secret",))), sound(0.5))
    assert "secret" not in f"{failed.value!r} {failed.value.__cause__!r} {caplog.text}"


async def test_a_renewed_token_is_shown_at_the_next_connection() -> None:
    with running_emulator(tokens={"old": "old-token", "new": "new-token"}) as emulator:
        credentials = FixedCredential("AZURE_SPEECH_RESOURCE_ID", None)
        credentials._current = Credential(kind="token", secret="old-token")
        async with line_to(emulator.url, credentials, properties=QUICK) as line:
            client = await line.warm()
            emulator.faults.set(Fault(at="audio", action="reset", kind="stt", after_bytes=20_000, times=1))
            recognizing = client.recognize(RecognitionOptions())
            await recognizing.write(sound(0.5))
            await emulator.until(lambda: emulator.counts.recognitions == 1, seconds=LIMIT_SECONDS)
            client.renew(Credential(kind="token", secret="new-token"))
            assert texts(await feed(recognizing, sound(0.5)))
        assert [connection.credential for connection in emulator.connections] == ["token:old", "token:new"]
