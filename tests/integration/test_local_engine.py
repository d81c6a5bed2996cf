"""The embedded engine as a whole: what it needs, what it can do, what it leaves behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from tests.integration.local import PCM_16K, PCM_24K, hear, open_engine, recognizer, recording, say, synthesizer
from tests.integration.processes import children, is_running, open_files
from tests.waiting import until

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool.speech.engine import LanguageMode, RecognitionProfile, SynthesisProfile
from speechpool.speech.loading import load_engine
from speechpool.speech.voices import OPENAI_VOICES

ENGLISH = RecognitionProfile(format=PCM_16K, languages=("en-US",))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


# --- what it can do ------------------------------------------------------------------------------------------------


async def test_it_knows_its_voices_once_it_is_open():
    async with open_engine() as engine:
        names = {voice.name for voice in engine.voices}
        assert len(names) == len(engine.voices) > 200
        assert {"en-us", "en-gb", "de", "fr-fr", "en-us+f2"} <= names
        assert {engine.resolve_voice(name.upper()) for name in OPENAI_VOICES} - names <= {"en-gb-x-rp+m2", "en-gb+f4"}
        assert {voice.gender for voice in engine.voices} >= {"male", "female"}


async def test_its_capabilities_are_the_truth():
    async with open_engine() as engine, synthesizer(engine) as speaker, recognizer(engine) as listener:
        able = engine.capabilities
        assert {audio_format for audio_format in OUTPUT_FORMATS.values() if audio_format.is_raw} <= able.output_formats
        assert able.input_formats == {PCM_16K}
        assert able.languages == {"en-US"}
        assert not able.text_streaming
        assert not able.language_detection
        document = '<speak>one <mark name="x"/>two</speak>'
        said = await say(
            speaker, document, is_ssml=able.ssml, word_boundaries=able.word_boundaries, visemes=able.visemes
        )
        assert (len(said.words), len(said.marks)) == (2, 1)
        assert said.visemes
        assert able.grammar
        assert able.phrases
        assert (await hear(listener, recording("0880"), grammar=("he was not an ill disposed young man",))).text


async def test_the_settings_may_name_voices():
    async with open_engine(voices={"Receptionist": "en-us+F3", "alloy": "de"}) as engine:
        assert engine.resolve_voice("receptionist") == "en-us+f3"
        assert engine.resolve_voice("alloy") == "de"
        async with synthesizer(engine) as client:
            document = '<speak><voice name="receptionist">good morning</voice></speak>'
            assert (await say(client, document, is_ssml=True)).audio


async def test_the_settings_may_slow_it_down():
    durations = []
    for words_per_minute in (175, 90):
        async with open_engine(wordsPerMinute=words_per_minute) as engine, synthesizer(engine) as client:
            durations.append(len((await say(client, "some words to say")).audio))
    assert durations[1] > 1.5 * durations[0]


# --- what it needs -------------------------------------------------------------------------------------------------


async def test_a_library_that_is_none_is_refused_with_what_to_install(tmp_path):
    library = tmp_path / "libespeak-ng.so"
    library.write_text("no library")
    engine = load_engine("local", {"espeakLibrary": str(library)})
    with pytest.raises(EngineUnavailable, match=r"espeak-ng cannot be used .*speechpool\[local\]"):
        await engine.open()


async def test_missing_data_is_refused(tmp_path):
    engine = load_engine("local", {"espeakData": str(tmp_path)})
    with pytest.raises(EngineUnavailable, match="cannot use its data"):
        await engine.open()


async def test_a_missing_pocketsphinx_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(EngineUnavailable, match=r"pocketsphinx is not installed; .*speechpool\[local\]"):
        await load_engine("local", {}).open()


async def test_a_name_for_no_voice_is_refused():
    with pytest.raises(SettingsError, match=r"engines\.local\.voices: ghost, echo: each must name a voice"):
        await load_engine("local", {"voices": {"ghost": "xx", "ok": "de", "echo": "en-us+none"}}).open()


async def test_models_that_are_none_fail_the_client_with_the_reason(tmp_path):
    models = dict.fromkeys(("acousticModel", "languageModel", "dictionary"), str(tmp_path))
    async with open_engine(**models) as engine:
        with pytest.raises(
            EngineUnavailable, match=r"worker stt (exited with code 1|has ended) before it was ready: RuntimeError"
        ):
            await engine.create_recognizer(ENGLISH)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (RecognitionProfile(format=PCM_24K, languages=("en-US",)), "16 kHz PCM"),
        (RecognitionProfile(format=PCM_16K, languages=("de-DE",)), r"must be en-US alone .*got de-DE"),
        (RecognitionProfile(format=PCM_16K, languages=("en-US", "de-DE")), r"got en-US, de-DE"),
        (RecognitionProfile(format=PCM_16K, languages=("en-US",), language_mode=LanguageMode.DETECT), "Detect"),
    ],
)
async def test_a_listening_profile_that_it_cannot_serve_is_refused(profile, message):
    async with open_engine() as engine:
        with pytest.raises(SettingsError, match=message):
            await engine.create_recognizer(profile)


@pytest.mark.parametrize("audio_format", [AudioFormat(Codec.MP3, 24_000), AudioFormat(Codec.PCM, 11_025)], ids=str)
async def test_a_speaking_profile_that_it_cannot_serve_is_refused(audio_format):
    async with open_engine() as engine:
        with pytest.raises(SettingsError, match="outputFormat"):
            await engine.create_synthesizer(SynthesisProfile(format=audio_format))


# --- what it leaves behind -----------------------------------------------------------------------------------------


def test_nothing_is_left_of_clients_used_killed_cancelled_and_closed(run):
    async def round_of_clients(engine):
        async with synthesizer(engine) as speaker, synthesizer(engine) as victim, recognizer(engine) as listener:
            assert (await say(speaker, "hello")).audio
            os.kill(victim.pid, signal.SIGKILL)
            await hear(listener, recording("0880")[:32_000])
        for steps in range(0, 12, 3):
            creating = asyncio.ensure_future(engine.create_recognizer(ENGLISH))
            for _ in range(steps):
                await asyncio.sleep(0)
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating

    async def scenario():
        async with open_engine() as engine:
            await round_of_clients(engine)  # the loop opens files of its own for the first
            files, processes = open_files(), children()
            await round_of_clients(engine)
            assert open_files() == files
            assert children() == processes

    run(scenario())


PARENT = """
import asyncio, json, sys
sys.path.insert(0, {root!r})
from tests.integration.local import open_engine, recognizer, synthesizer, utterance

async def main():
    async with open_engine() as engine, synthesizer(engine) as speaker, recognizer(engine) as listener:
        speaking = speaker.speak(utterance("again and again " * 4000))
        await anext(speaking)
        mapped = open("/proc/self/maps").read()
        loaded = [name for name in ("espeak", "sphinx", "numpy", "soxr") if name in mapped or name in sys.modules]
        print(json.dumps([[speaker.pid, listener.pid], loaded]), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_workers_die_with_a_parent_that_is_killed_and_that_loaded_neither_library():
    """GPL code stays out of the process that is ours."""
    root = Path(__file__).parent.parent.parent
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(root=str(root))], stdout=subprocess.PIPE, text=True)
    with parent:
        pids, loaded = json.loads(parent.stdout.readline())
        assert all(map(is_running, pids))
        assert loaded == []
        parent.kill()
    asyncio.run(until(lambda: not any(map(is_running, pids))))
