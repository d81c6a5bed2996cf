"""Azure's SDK as an application calls it, without us: what is measured against."""

import time

import azure.cognitiveservices.speech as sdk
from azure_bench.emulation import KEY

__all__ = ["BareVoice", "first_byte_of_a_new_voice"]

_FRAME_BYTES = 960  # 20 ms of raw 24 kHz PCM: read_data() blocks until its whole buffer is full


class BareVoice:
    """One synthesizer of the SDK, kept and used again, read as fast as it can be.

    Args:
        url: Where the service is.
    """

    def __init__(self, url: str) -> None:
        config = sdk.SpeechConfig(host=url, subscription=KEY)
        config.set_speech_synthesis_output_format(sdk.SpeechSynthesisOutputFormat.Raw24Khz16BitMonoPcm)
        self._synthesizer = sdk.SpeechSynthesizer(speech_config=config, audio_config=None)

    def first_byte(self, text: str) -> float:
        """Seconds from the call to the first 20 ms of audio; the rest is read too. Blocks."""
        begun = time.perf_counter()
        stream = sdk.AudioDataStream(self._synthesizer.start_speaking_text_async(text).get())
        stream.read_data(bytes(_FRAME_BYTES))
        took = time.perf_counter() - begun
        while stream.read_data(bytes(_FRAME_BYTES)):
            pass
        return took


def first_byte_of_a_new_voice(url: str, text: str) -> float:
    """The same with a synthesizer made for this call alone, as most applications do."""
    begun = time.perf_counter()
    voice = BareVoice(url)
    made_seconds = time.perf_counter() - begun
    return made_seconds + voice.first_byte(text)
