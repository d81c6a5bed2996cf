"""Clients that speak text which comes piece by piece, over the second version of Azure's protocol: plain text only."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import azure.cognitiveservices.speech as sdk

from speechpool.errors import EngineFailed, InvalidInput, SpeechPoolError
from speechpool.speech.azure.documents import check_length, check_size, rate_of
from speechpool.speech.azure.sdk_synthesizer import Ended, Wanted
from speechpool.speech.azure.speaking import AzureSpeaking, Ties
from speechpool.speech.azure.synthesizer import AzureSynthesizer
from speechpool.speech.azure.threads import SdkThreads
from speechpool.speech.azure.words import WordFinder
from speechpool.speech.engine import Utterance
from speechpool.speech.ssml import check_text

__all__ = ["AzureSpeakingPieces", "AzureStreamingSynthesizer"]

_WRITE_SECONDS = 5.0
"""Guess: the SDK takes a piece in 0.1 ms; one that does not take it for so long is broken."""

_PATIENT_SDK = {
    # A writer may pause for longer than the SDK's own limits on silence (Microsoft's sample of text streaming sets
    # the same two); how long the audio may take is for our own deadlines.
    "SpeechSynthesis_FrameTimeoutInterval": "100000000",
    "SpeechSynthesis_RtfTimeoutThreshold": "10",
    "SpeechSynthesis_FirstChunkTimeoutMs": "600000",
}


class PiecesSource:
    """A text that is being written, or one that is all there.

    Args:
        utterance: How it is to be said; its text, where it has one, is all there is.
    """

    def __init__(self, utterance: Utterance) -> None:
        self._utterance = utterance
        self._lock = threading.Lock()
        self._request: sdk.SpeechSynthesisRequest | None = None

    def start(self, synthesizer: sdk.SpeechSynthesizer) -> sdk.SpeechSynthesisResult:
        """Begin the request; its text follows."""
        said = self._utterance
        synthesizer.properties.set_property(sdk.PropertyId.SpeechServiceConnection_SynthVoice, said.voice)
        request = sdk.SpeechSynthesisRequest(sdk.SpeechSynthesisRequestInputType.TextStream)
        if said.speed != 1.0:
            request.rate = rate_of(said.speed)
        if said.style:
            request.style = said.style
        self._request = request
        result = synthesizer.start_speaking(request)
        if said.text:
            self.write(said.text)
            self.end()
        return result

    def write(self, text: str) -> None:
        """Hand over the next piece. Blocks for 0.1 ms, not for the network; nothing after `end()`."""
        with self._lock:
            if self._request is not None:
                self._request.input_stream.write(text)

    def end(self) -> None:
        """No more text. Always wanted: with a text that is not ended, the SDK neither says another nor lets go."""
        with self._lock:
            request, self._request = self._request, None
            if request is not None:
                request.input_stream.close()


class AzureSpeakingPieces(AzureSpeaking):
    """An utterance whose text comes while it is said; made by `AzureStreamingSynthesizer`.

    Args:
        ties: To its client.
        source: Takes the text.
        threads: Where it is called.
        speed: Relative speed, for the longest text.
    """

    def __init__(self, ties: Ties, source: PiecesSource, threads: SdkThreads, speed: float) -> None:
        super().__init__(ties, words=WordFinder(), text="", expects_audio=False)
        self._source = source
        self._threads = threads
        self._speed = speed
        self._waiting_since = None  # nothing is owed before there is text
        self._characters = 0
        self._is_finished = False
        self._started = asyncio.Event()
        self._writing = asyncio.Lock()  # pieces stay in order

    async def write(self, text: str) -> None:
        """Hand over the next piece; after `cancel()` it does nothing.

        Raises:
            EngineFailed: `finish()` was called, or Azure broke off.
            InvalidInput: The text so far cannot be spoken, or is longer than Azure takes.
            SpeechError: What ended the utterance.
        """
        if self._is_finished:
            raise EngineFailed("text came after the end of the utterance")
        self._check(text)
        async with self._writing:
            if await self._is_writable() and text:
                self._waiting_since = self._waiting_since or self._loop.time()
                self._text += text
                self._words.add(text)
                self._expects_audio = self._expects_audio or any(map(str.isalnum, text))
                await self._call(partial(self._source.write, text))

    async def finish(self) -> None:
        """No more text: the rest of the audio comes, then iteration ends."""
        self._is_finished = True
        async with self._writing:
            if await self._is_writable():
                await self._call(self._source.end)

    def began(self, reference: str) -> None:
        """The SDK takes text now."""
        super().began(reference)
        self._started.set()

    def ended(self, ended: Ended) -> None:
        """Nothing more comes."""
        super().ended(ended)
        self._started.set()

    def fail(self, error: SpeechPoolError) -> None:
        """It cannot go on."""
        super().fail(error)
        self._started.set()

    def _check(self, text: str) -> None:
        check_text(text)
        check_length(self._characters + len(text), self._speed)
        check_size(self._text + text)
        self._characters += len(text)

    async def _is_writable(self) -> bool:
        await self._within(self._started.wait())
        if self._error:
            raise self._error
        return self._is_wanted and not self.is_over

    async def _call(self, work: Callable[[], None]) -> None:
        try:
            await self._within(self._threads.run(work))
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"the SDK refused text ({type(error).__name__})") from None

    async def _within(self, work: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await work
        except TimeoutError:
            raise EngineFailed(f"the SDK took no text for {_WRITE_SECONDS:g} s") from None


class AzureStreamingSynthesizer(AzureSynthesizer):
    """A client that speaks while its text is still being written; arguments as `AzureSynthesizer`."""

    version = "v2"

    def speak(self, utterance: Utterance) -> AzureSpeaking:
        """Start an utterance whose text is all there.

        Raises:
            EngineFailed: Another one is under way, or the client is not open, closed or spent.
            InvalidInput: It is SSML, cannot be spoken, or is longer than Azure takes.
        """
        text = utterance.text
        if utterance.is_ssml:
            raise InvalidInput(
                "a pool with text streaming takes no SSML; use one without it", param="input_type", code="not_supported"
            )
        check_text(text)
        check_length(len(text), utterance.speed)
        check_size(text)
        self._check_free()
        has_words = any(map(str.isalnum, text))
        speaking = AzureSpeaking(self._make_ties(), words=WordFinder(text), text=text, expects_audio=has_words)
        self._begin(speaking, PiecesSource(utterance), _wanted(utterance))
        return speaking

    def speak_pieces(self, utterance: Utterance) -> AzureSpeakingPieces:
        """Start an utterance whose text comes by `write`.

        Raises:
            EngineFailed: Another one is under way, or the client is not open, closed or spent.
        """
        self._check_free()
        source = PiecesSource(replace(utterance, text=""))
        speaking = AzureSpeakingPieces(self._make_ties(), source, self._threads, utterance.speed)
        self._begin(speaking, source, _wanted(utterance))
        return speaking

    def _properties(self) -> Mapping[str, str]:
        return {**super()._properties(), **_PATIENT_SDK}


def _wanted(utterance: Utterance) -> Wanted:
    return Wanted(words=utterance.word_boundaries, visemes=utterance.visemes)
