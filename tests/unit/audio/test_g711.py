import pytest
from tests.unit.audio.sounds import snr_db, tone

from speechpool.audio.g711 import companding
from speechpool.formats import Codec


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
def test_a_tone_survives_the_telephone(codec):
    """G.711 keeps 37 to 38 dB of a loud sine."""
    coded = companding(Codec.PCM, codec)(tone(8_000))
    assert len(coded) == 8_000
    assert snr_db(companding(codec, Codec.PCM)(coded), 8_000) > 36


@pytest.mark.parametrize(("codec", "silence"), [(Codec.MULAW, b"\xff"), (Codec.ALAW, b"\xd5")])
def test_silence_is_the_standards_silence(codec, silence):
    assert companding(Codec.PCM, codec)(bytes(8)) == silence * 4


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
def test_every_code_comes_back(codec):
    """But for the negative zero of mu-law."""
    codes = bytes(range(256))
    again = companding(Codec.PCM, codec)(companding(codec, Codec.PCM)(codes))
    assert [(a, b) for a, b in zip(codes, again, strict=True) if a != b] == (
        [(0x7F, 0xFF)] if codec is Codec.MULAW else []
    )


def test_mulaw_becomes_alaw_through_pcm():
    mulaw = companding(Codec.PCM, Codec.MULAW)(tone(8_000))
    alaw = companding(Codec.MULAW, Codec.ALAW)(mulaw)
    assert snr_db(companding(Codec.ALAW, Codec.PCM)(alaw), 8_000) > 33


@pytest.mark.parametrize("codec", [Codec.PCM, Codec.MULAW, Codec.ALAW])
def test_nothing_changes_between_equal_codecs(codec):
    samples = tone(8_000, 0.01)
    assert companding(codec, codec)(samples) is samples
