"""Which pool serves: by format and by how text comes, never a cold one only because of either."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.fakes import FakeEngine
from tests.unit.service.world import listening, speaking
from tests.virtual import VIRTUAL

from speechpool.audio.formats import response_format
from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool.service.selection import choose_recognition, choose_synthesis
from speechpool.service.speech_pools import make_pool
from speechpool.settings import PoolSettings

pytestmark = VIRTUAL

PCM = {rate_hz: AudioFormat(Codec.PCM, rate_hz) for rate_hz in (8_000, 16_000, 24_000, 48_000)}
MULAW = AudioFormat(Codec.MULAW, 8_000)


def made(*settings: PoolSettings) -> list[Any]:
    """Pools with nothing warm yet."""
    able = frozenset(each for each in OUTPUT_FORMATS.values() if each.is_raw)
    engine = FakeEngine(input_formats=able, text_streaming=True)
    clock = asyncio.get_running_loop().time
    return [make_pool(engine, each, clock=clock, observe=lambda *_, **__: None) for each in settings]


async def warm(pools: Sequence[Any], *names: str) -> None:
    for pool in pools:
        if pool.name in names:
            await pool.pool.prepare()


async def close(pools: Sequence[Any]) -> None:
    for pool in pools:
        await pool.pool.shutdown()


@pytest.mark.parametrize(
    ("audio_format", "pool"),
    [
        (MULAW, "phone"),
        (PCM[8_000], "wide"),  # PCM before companded audio
        (PCM[16_000], "wide"),
        (PCM[24_000], "full"),  # nothing of the audio is lost, though 16 kHz is as near
        (PCM[48_000], "full"),
    ],
)
async def test_audio_goes_where_least_of_it_is_lost(audio_format, pool) -> None:
    pools = made(
        listening("phone", input_format="Raw8Khz8BitMonoMULaw"),
        listening("wide"),
        listening("full", input_format="Raw48Khz16BitMonoPcm"),
    )
    assert choose_recognition(pools, None, "en-US", None, audio_format).name == pool


async def test_a_language_counts_more_than_a_format_and_warmth_more_than_both() -> None:
    pools = made(
        listening("phone", input_format="Raw8Khz8BitMonoMULaw", languages=("fr-FR",)),
        listening("wide"),
        listening("spare"),
    )
    assert choose_recognition(pools, "en-US", "en-US", None, MULAW).name == "wide"
    assert choose_recognition(pools, "fr-FR", "en-US", None, PCM[16_000]).name == "phone"
    await warm(pools, "spare")
    assert choose_recognition(pools, "en-US", "en-US", None, MULAW).name == "spare"
    assert choose_recognition(pools, "en-US", "en-US", "wide", MULAW).name == "wide"
    await close(pools)


async def test_text_that_comes_in_pieces_goes_to_a_pool_for_it_and_nothing_else_does() -> None:
    pools = made(speaking("stream", text_streaming=True), speaking("tts"))
    pcm = response_format("pcm")
    assert choose_synthesis(pools, pcm, is_streamed=True).name == "stream"
    assert choose_synthesis(pools, pcm).name == "tts"
    assert choose_synthesis(pools, pcm, "stream").name == "stream"
    assert choose_synthesis(pools, pcm, "tts", is_streamed=True).name == "tts"
    await warm(pools, "tts")
    assert choose_synthesis(pools, pcm, is_streamed=True).name == "tts"
    await warm(pools, "stream")
    assert choose_synthesis(pools, pcm, is_streamed=True).name == "stream"
    await close(pools)


async def test_a_pool_for_pieces_that_is_the_only_one_speaks_whole_texts_too() -> None:
    pools = made(speaking("stream", text_streaming=True))
    assert choose_synthesis(pools, response_format("pcm")).name == "stream"
