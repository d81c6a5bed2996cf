"""Clients of Azure for programs without an event loop, with the real SDK against the emulator."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.azure_listening import LIMIT_SECONDS, PCM16, quiet, sound
from tests.integration.azure_patience import asks_soon, patient

from speechpool.errors import AuthenticationFailed, EngineFailed, EngineTimeout, InvalidInput, SettingsError
from speechpool.formats import AudioFormat, Codec
from speechpool.pools import AllocationTier, WarmableResourcePool
from speechpool.speech import SpeechSynthesizer, StreamingSpeechRecognizerFromBytes
from speechpool_azure_emulator import Fault, marks_in, running_emulator

__all__ = ["asks_soon", "patient"]

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with running_emulator(upgrade_seconds=0.02, keys={"good": KEY}) as emulator:
        yield emulator


@pytest.fixture
def emulator(service, monkeypatch) -> Iterator[Any]:
    monkeypatch.setenv("AZURE_SPEECH_KEY", KEY)
    monkeypatch.setenv("AZURE_SPEECH_REGION", "westeurope")
    monkeypatch.setenv("AZURE_SPEECH_ENDPOINT", service.url)
    yield service
    gc.collect()
    service.wait_for(lambda: service.counts.open_sockets == 0, seconds=LIMIT_SECONDS)
    service.faults.clear()
    service.reset_records()


# --- the documented example ----------------------------------------------------------------------------------------

DOCUMENTED = '''
import os
from speechpool.pools import WarmableResourcePool
from speechpool.speech import SpeechSynthesizer, StreamingSpeechRecognizerFromBytes

async def create_tts_pool() -> WarmableResourcePool:
    """Create TTS pool with pre-warming."""

    async def tts_factory():
        return SpeechSynthesizer(
            speech_key=os.getenv("AZURE_SPEECH_KEY"),
            speech_region=os.getenv("AZURE_SPEECH_REGION"),
        )

    async def warm_voice(synth: SpeechSynthesizer) -> bool:
        """Pre-warm default voice to reduce first-synthesis latency."""
        try:
            synth.synthesize_to_pcm(
                text="warmup",
                voice="en-US-JennyNeural",
                sample_rate=24000,
            )
            return True
        except Exception:
            return False

    pool = WarmableResourcePool(
        factory=tts_factory,
        name="tts_pool",
        warm_pool_size=int(os.getenv("SPEECH_POOL_WARM_SIZE", "3")),
        enable_background_warmup=True,
        session_awareness=True,
        warm_fn=warm_voice,
    )

    await pool.prepare()
    return pool
'''


async def test_the_documented_example_makes_a_pool_whose_clients_keep_their_sockets(emulator) -> None:
    example: dict[str, Any] = {}
    exec(DOCUMENTED, example)
    pool = await example["create_tts_pool"]()
    try:
        assert pool.snapshot()["warm_pool_size"] == 3
        assert (emulator.counts.upgrades, emulator.counts.utterances_complete) == (3, 3)
        synth, tier = await pool.acquire_for_session("call-1")
        assert tier is AllocationTier.WARM
        for _ in range(2):
            asked_at = time.monotonic()
            pcm = await asyncio.to_thread(
                synth.synthesize_to_pcm, text="Hello there.", voice="en-US-JennyNeural", sample_rate=24000
            )
            utterance = [each for each in emulator.utterances if each.text == "Hello there."][-1]
            assert utterance.connection.opened_at < asked_at
            assert marks_in(pcm) == {utterance.mark}
        again, tier = await pool.acquire_for_session("call-1")
        assert (again, tier) == (synth, AllocationTier.DEDICATED)
        await pool.release_for_session("call-1", synth)
        assert synth.is_ready or synth._is_closed
    finally:
        await pool.shutdown()


async def test_a_pool_of_recognizers_is_warm_and_stays_so(emulator) -> None:
    emulator.transcripts.say("first call", "second call")
    pool = WarmableResourcePool(
        factory=lambda: StreamingSpeechRecognizerFromBytes(candidate_languages=["en-US"]),
        name="stt_pool",
        warm_pool_size=1,
        warm_fn=lambda recognizer: asyncio.to_thread(recognizer.warm_connection),
    )
    await pool.prepare()
    try:
        for number, expected in enumerate(("first call", "second call"), start=1):
            recognizer = await pool.acquire(timeout=LIMIT_SECONDS)
            heard: list[str] = []
            recognizer.set_final_result_callback(lambda text, language, heard=heard: heard.append(text))
            asked_at = time.monotonic()
            await asyncio.to_thread(_say, recognizer, sound(0.5))
            assert heard == [expected]
            assert emulator.recognitions[-1].connection.opened_at < asked_at
            await pool.release(recognizer)
            await emulator.until(lambda number=number: emulator.counts.upgrades_ok > number, seconds=LIMIT_SECONDS)
    finally:
        await pool.shutdown()


# --- speaking ------------------------------------------------------------------------------------------------------


def test_one_connection_serves_one_utterance_after_another(emulator) -> None:
    with SpeechSynthesizer() as synth:
        assert synth.warm_connection(24_000)
        for text in ("One.", "Two.", "Three."):
            pcm = synth.synthesize_to_pcm(text)
            assert emulator.utterances[-1].text == text
            assert marks_in(pcm) == {emulator.utterances[-1].mark}
        assert emulator.counts.upgrades == 1
        assert emulator.connections[0].credential == "key:good"
        assert synth.is_ready


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 48_000])
def test_the_sample_rate_is_the_one_asked_for(emulator, sample_rate) -> None:
    with SpeechSynthesizer(voice="en-US-JennyNeural") as synth:
        synth.synthesize_to_pcm(text="Hello.", sample_rate=sample_rate)
    utterance = emulator.utterances[-1]
    assert utterance.voice == "en-US-JennyNeural"
    assert utterance.format.startswith(f"raw-{sample_rate // 1000}khz")


def test_it_is_given_explicitly_or_by_the_environment(emulator, monkeypatch) -> None:
    for name in ("AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION", "AZURE_SPEECH_ENDPOINT"):
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match="AZURE_SPEECH_REGION"):
        SpeechSynthesizer().synthesize_to_pcm("Hello.")
    with SpeechSynthesizer(speech_key=KEY, endpoint=emulator.url) as synth:
        assert synth.synthesize_to_pcm("Hello.")


def test_threads_take_turns(emulator) -> None:
    with SpeechSynthesizer() as synth:
        results: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: results.append(synth.synthesize_to_pcm("Hello there."))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_SECONDS)
        assert {frozenset(marks_in(pcm)) for pcm in results} == {
            frozenset({utterance.mark}) for utterance in emulator.utterances
        }
        assert len(results) == 4
    assert emulator.counts.upgrades == 1


def test_a_connection_that_died_unnoticed_is_replaced_within_the_call(emulator) -> None:
    with SpeechSynthesizer() as synth:
        synth.synthesize_to_pcm("One.")
        emulator.faults.set(Fault(at="request", action="close", code=1011, kind="tts", times=1))
        assert marks_in(synth.synthesize_to_pcm("Two.")) == {emulator.utterances[-1].mark}
    assert emulator.counts.upgrades == 2


def test_clearing_the_session_keeps_the_connection_and_forgets_the_call(emulator) -> None:
    with SpeechSynthesizer(call_connection_id="call-1") as synth:
        synth.synthesize_to_pcm("One.")
        synth.clear_session_state()
        assert synth.call_connection_id is None
        assert synth.is_ready
        synth.synthesize_to_pcm("Two.")
    assert emulator.counts.upgrades == 1


def test_a_service_that_freezes_ends_the_call_at_its_limit(emulator) -> None:
    with SpeechSynthesizer() as synth:
        synth.warm_connection()
        synth._timeout_seconds = 0.5
        emulator.faults.set(Fault(at="request", action="freeze", kind="tts", times=1))
        with pytest.raises(EngineTimeout, match=r"0\.5 s"):
            synth.synthesize_to_pcm("Hello.")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"sample_rate": 11_025}, InvalidInput), ({"speed": 9.0}, InvalidInput), ({"text": ""}, InvalidInput)],
    ids=str,
)
def test_what_cannot_be_spoken_is_refused_and_the_connection_stays(emulator, arguments, error) -> None:
    with SpeechSynthesizer() as synth:
        synth.synthesize_to_pcm("One.")
        with pytest.raises(error):
            synth.synthesize_to_pcm(**{"text": "Two.", **arguments})
        assert synth.is_ready
        assert synth.synthesize_to_pcm("Three.")
    assert emulator.counts.upgrades == 1


@pytest.mark.usefixtures("asks_soon")
def test_a_wrong_key_is_told_and_not_shown(emulator) -> None:
    wrong = "f" * 32
    synth = SpeechSynthesizer(speech_key=wrong)
    with pytest.raises(AuthenticationFailed) as refused:
        synth.synthesize_to_pcm("Hello.")
    assert wrong not in f"{refused.value} {synth!r}"


def test_a_closed_client_refuses_and_may_be_closed_again(emulator) -> None:
    synth = SpeechSynthesizer()
    synth.synthesize_to_pcm("One.")
    synth.close()
    synth.close()
    synth.clear_session_state()
    assert not synth.is_ready
    with pytest.raises(EngineFailed, match="closed"):
        synth.synthesize_to_pcm("Two.")


def test_a_client_that_nobody_holds_gives_its_socket_back(emulator) -> None:
    synth = SpeechSynthesizer()
    synth.warm_connection()
    assert emulator.counts.open_sockets == 1
    del synth  # the fixture waits for the socket


# --- understanding -------------------------------------------------------------------------------------------------


def _say(recognizer: StreamingSpeechRecognizerFromBytes, *pieces: bytes) -> None:
    recognizer.start()
    for piece in pieces:
        recognizer.write_bytes(piece)
    recognizer.stop()


def test_results_are_told_in_order_and_all_before_stop_returns(emulator) -> None:
    emulator.transcripts.say("good morning", "good night")
    told: list[tuple[str | None, ...]] = []
    with StreamingSpeechRecognizerFromBytes(
        candidate_languages=["en-US"], use_semantic_segmentation=False, vad_silence_timeout_ms=300
    ) as recognizer:
        recognizer.set_partial_result_callback(lambda text, language: told.append(("partial", text, language)))
        recognizer.set_final_result_callback(
            lambda text, language, speaker: told.append(("final", text, language, speaker))
        )
        _say(recognizer, sound(1.0), quiet(0.5), sound(1.0))
    finals = [each for each in told if each[0] == "final"]
    assert finals == [("final", "good morning", "en-US", None), ("final", "good night", "en-US", None)]
    assert [each[1:] for each in told if each[0] == "partial"][-1] == ("good night", "en-US")
    assert "'segmentationSilenceTimeoutMs': 300" in str(emulator.recognitions[-1].context)


def test_a_session_rides_the_connection_that_was_warmed_and_the_next_one_another(emulator) -> None:
    with StreamingSpeechRecognizerFromBytes(candidate_languages=["en-US"], key=KEY) as recognizer:
        assert recognizer.warm_connection()
        for number in (1, 2):
            asked_at = time.monotonic()
            assert recognizer.is_ready
            _say(recognizer, sound(0.3))
            assert emulator.recognitions[-1].connection.opened_at < asked_at
            emulator.wait_for(lambda number=number: emulator.counts.upgrades_ok == number + 1, seconds=LIMIT_SECONDS)
    assert "Semantic" in str(emulator.recognitions[-1].context)


def test_several_languages_are_detected(emulator) -> None:
    emulator.configure(detected_language="fr-FR")
    heard: list[tuple[str, str]] = []
    try:
        with StreamingSpeechRecognizerFromBytes(candidate_languages=["en-US", "fr-FR"]) as recognizer:
            recognizer.set_final_result_callback(lambda text, language: heard.append((text, language)))
            _say(recognizer, sound(0.3))
    finally:
        emulator.configure(detected_language=None)
    assert [language for _, language in heard] == ["fr-FR"]


def test_clearing_the_session_forgets_callbacks_phrases_and_the_call(emulator) -> None:
    told: list[str] = []
    with StreamingSpeechRecognizerFromBytes(
        candidate_languages=["en-US"], phrases=["Contoso"], call_connection_id="call-1"
    ) as recognizer:
        recognizer.set_final_result_callback(lambda text, language: told.append(text))
        recognizer.start()
        recognizer.write_bytes(sound(0.3))
        recognizer.clear_session_state()
        assert recognizer.call_connection_id is None
        _say(recognizer, sound(0.3))
        assert not emulator.recognitions[-1].phrase_list
    assert told == []


def test_g711_is_taken(emulator) -> None:
    form = AudioFormat(Codec.MULAW, 8_000)
    with StreamingSpeechRecognizerFromBytes(candidate_languages=["en-US"], audio_format="mulaw") as recognizer:
        _say(recognizer, sound(0.3, form))
    assert emulator.recognitions[-1].audio_format == "mulaw-8000"


def test_a_failed_session_is_told_to_the_callback_and_by_stop_and_another_may_follow(emulator) -> None:
    errors: list[Exception] = []
    with StreamingSpeechRecognizerFromBytes(candidate_languages=["en-US"]) as recognizer:
        recognizer.set_cancel_callback(errors.append)
        emulator.faults.set(Fault(at="phrase", action="status", recognition_status="BadRequest", kind="stt"))
        with pytest.raises(EngineFailed):
            _say(recognizer, sound(0.3))
        assert [type(error) for error in errors] == [EngineFailed]
        emulator.faults.clear()
        recognizer.set_cancel_callback(None)
        _say(recognizer, sound(0.3))


def test_a_callback_that_fails_does_not_end_the_session(emulator, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.transcripts.say("my secret words", "more of them")
    heard: list[str] = []

    def fail(text: str, language: str) -> None:
        heard.append(text)
        raise ValueError(text)

    with StreamingSpeechRecognizerFromBytes(
        candidate_languages=["en-US"], use_semantic_segmentation=False, vad_silence_timeout_ms=300
    ) as recognizer:
        recognizer.set_final_result_callback(fail)
        _say(recognizer, sound(0.5), quiet(0.5), sound(0.5))
    assert heard == ["my secret words", "more of them"]
    assert "a callback failed" in caplog.text
    assert "secret" not in caplog.text


def test_a_session_that_is_not_under_way_takes_nothing(emulator) -> None:
    with StreamingSpeechRecognizerFromBytes(candidate_languages=["en-US"]) as recognizer:
        recognizer.stop()
        recognizer.close_stream()
        with pytest.raises(EngineFailed, match="start"):
            recognizer.write_bytes(b"")
        recognizer.start()
        with pytest.raises(EngineFailed, match="under way"):
            recognizer.start()


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"candidate_languages": []}, "candidate_languages"),
        ({"candidate_languages": "en-US"}, "candidate_languages"),
        ({"vad_silence_timeout_ms": 99}, "vad_silence_timeout_ms"),
        ({"audio_format": "any"}, "audio_format"),
        ({"sample_rate": 44_100}, "sample_rate"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
    ],
    ids=str,
)
def test_options_out_of_bounds_are_refused_at_once(options, param) -> None:
    with pytest.raises(InvalidInput) as refused:
        StreamingSpeechRecognizerFromBytes(**options)
    assert refused.value.param == param


# --- the process ---------------------------------------------------------------------------------------------------

WITHOUT_SDK = """
import sys
sys.modules["azure"] = None
import speechpool.speech
try:
    from speechpool.speech import SpeechSynthesizer
except ImportError as error:
    print(error)
"""

LEAVING = f"""
import sys
from speechpool.speech import SpeechSynthesizer, StreamingSpeechRecognizerFromBytes
synth = SpeechSynthesizer()
synth.warm_connection()
recognizer = StreamingSpeechRecognizerFromBytes(candidate_languages=["en-US"])
recognizer.set_partial_result_callback(print)
recognizer.start()
recognizer.write_bytes(bytes({PCM16.bytes_per_second}))
"""


def test_without_the_sdk_the_package_imports_and_the_names_say_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_SDK], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'speechpool[azure]'" in done.stdout
    assert "SpeechSynthesizer" in done.stdout


def test_a_process_that_ends_in_the_midst_of_everything_ends_well(emulator) -> None:
    environment = {**os.environ, "AZURE_SPEECH_ENDPOINT": emulator.url, "AZURE_SPEECH_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
