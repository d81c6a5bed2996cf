import pytest

from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool_azure_emulator.formats import output_format


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("raw-8khz-16bit-mono-pcm", AudioFormat(Codec.PCM, 8_000)),
        ("raw-22050hz-16bit-mono-pcm", AudioFormat(Codec.PCM, 22_050)),
        ("raw-48khz-16bit-mono-pcm", AudioFormat(Codec.PCM, 48_000)),
        ("riff-16khz-16bit-mono-pcm", AudioFormat(Codec.PCM, 16_000)),
        ("raw-8khz-8bit-mono-mulaw", AudioFormat(Codec.MULAW, 8_000)),
        ("raw-8khz-8bit-mono-alaw", AudioFormat(Codec.ALAW, 8_000)),
        ("audio-24khz-96kbitrate-mono-mp3", AudioFormat(Codec.MP3, 24_000)),
        ("ogg-24khz-16bit-mono-opus", AudioFormat(Codec.OPUS, 24_000)),
    ],
)
def test_the_services_names_are_known(name: str, audio: AudioFormat) -> None:
    found = output_format(name)

    assert found is not None
    assert found.audio == audio
    assert audio in OUTPUT_FORMATS.values() or name.startswith("riff")


@pytest.mark.parametrize("name", ["raw-11khz-16bit-mono-pcm", "webm-24khz-16bit-mono-opus", "", "amr-wb-16000hz"])
def test_what_it_does_not_make_is_none(name: str) -> None:
    assert output_format(name) is None
