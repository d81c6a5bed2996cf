"""The whole service with pools of kinds that Azure alone has: text in pieces, telephone audio as it comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.azure_listening import quiet, sound
from tests.integration.azure_patience import patient
from tests.integration.services import listening, running_service, speaking

from speechpool.formats import AudioFormat, Codec
from speechpool.service.events import RecognitionSummary
from speechpool.service.requests import RecognizeRequest, SpeakOptions
from speechpool.service.service import SpeechService
from speechpool.settings import PoolSettings
from speechpool.speech.engine import Final
from speechpool_azure_emulator import running_emulator

__all__ = ["patient"]

MULAW = AudioFormat(Codec.MULAW, 8_000)
TEXT = "Hello there, my good friend. How are you today?"


@asynccontextmanager
async def serving(url: str, *pools: PoolSettings) -> AsyncIterator[SpeechService]:
    async with running_service("azure", {"endpoint": url, "key": "k" * 32}, *pools) as service:
        yield service


async def test_text_in_pieces_is_said_by_a_client_whose_connection_was_open():
    pools = (speaking(1), speaking(1, "stream", text_streaming=True))
    with running_emulator() as emulator:
        options = SpeakOptions(response_format="pcm")
        async with serving(emulator.url, *pools) as service, service.speak_text(options) as stream:
            for word in TEXT.split():
                await stream.add(f"{word} ")
            await stream.finish()
            summary = [event async for event in stream][-1]
    assert (summary.pool, summary.tier, summary.warm_miss) == ("stream", "warm", False)
    assert (summary.played.text, summary.played.estimated) == (TEXT, False)
    assert summary.audio_seconds > 1
    assert summary.report.reference
    assert summary.report.endpoint


async def test_telephone_audio_is_recognised_without_a_conversion():
    pools = (listening(1), listening(1, "phone", input_format="Raw8Khz8BitMonoMULaw"))
    request = RecognizeRequest(format=MULAW, segmentation_silence_ms=300, start_sensitivity="high")
    with running_emulator() as emulator:
        async with serving(emulator.url, *pools) as service, service.recognize(request) as stream:
            await stream.write(sound(1.0, MULAW) + quiet(1.0, MULAW))
            await stream.finish()
            events = [event async for event in stream]
    assert [event.text for event in events if isinstance(event, Final)]
    summary = events[-1]
    assert isinstance(summary, RecognitionSummary)
    assert (summary.pool, summary.tier, summary.warm_miss) == ("phone", "warm", False)
    assert summary.audio_seconds == 2.0
