"""The recogniser for programs without an event loop: bytes in, results by callbacks."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence

from speechpool.errors import EngineFailed, InvalidInput, SpeechPoolError
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure.background import Background
from speechpool.speech.azure.blocking import BlockingClient
from speechpool.speech.azure.recognizer import AzureRecognizer
from speechpool.speech.azure.recognizing import AzureRecognizing
from speechpool.speech.engine import Final, LanguageMode, Partial, RecognitionOptions, RecognitionProfile

__all__ = ["StreamingSpeechRecognizerFromBytes"]

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0
_SILENCE_MS = (100, 5000)

ResultCallback = Callable[..., object]
"""Called with the text and its language, and where it needs a third argument with None for the speaker."""


class StreamingSpeechRecognizerFromBytes(BlockingClient):
    """Makes text of audio that comes piece by piece: `start()`, `write_bytes()` as often as wanted, `stop()`.

    Results are told by callbacks, in a thread of their own and one after the other; a callback must not call `stop()`,
    which waits for it. Azure's connection serves one session; after it another one is opened behind, where
    `warm_connection()` was called.

    Args:
        speech_key: The resource's key; else `AZURE_SPEECH_KEY`.
        speech_region: The resource's region; else `AZURE_SPEECH_REGION`.
        endpoint: Its address; else `AZURE_SPEECH_ENDPOINT`.
        candidate_languages: BCP 47 tags; with more than one the language is detected, also within a session.
        vad_silence_timeout_ms: Silence that ends a segment, 100 to 5000 ms, where `use_semantic_segmentation` is off.
        use_semantic_segmentation: Whether segments end by their meaning.
        audio_format: "pcm" for 16 bit little endian, "mulaw" or "alaw" for 8 kHz G.711; mono.
        sample_rate: Of PCM: 8000, 16000, 24000 or 48000 Hz.
        phrases: Words and phrases that are likely; forgotten by `clear_session_state()`.
        call_connection_id: Names the session in debug logs.
        timeout_seconds: Longest wait of one call, > 0.
        key: Another name of `speech_key`.
        region: Another name of `speech_region`.

    Raises:
        InvalidInput: An option is out of bounds.
    """

    def __init__(
        self,
        *,
        speech_key: str | None = None,
        speech_region: str | None = None,
        endpoint: str | None = None,
        candidate_languages: Sequence[str] = ("en-US", "es-ES", "fr-FR", "de-DE", "it-IT"),
        vad_silence_timeout_ms: int = 800,
        use_semantic_segmentation: bool = True,
        audio_format: str = "pcm",
        sample_rate: int = 16_000,
        phrases: Sequence[str] = (),
        call_connection_id: str | None = None,
        timeout_seconds: float = 30.0,
        key: str | None = None,
        region: str | None = None,
    ) -> None:
        super().__init__(
            speech_key=speech_key or key,
            speech_region=speech_region or region,
            endpoint=endpoint,
            call_connection_id=call_connection_id,
            timeout_seconds=timeout_seconds,
        )
        self._profile = _profile(candidate_languages, audio_format, sample_rate)
        if not _SILENCE_MS[0] <= vad_silence_timeout_ms <= _SILENCE_MS[1]:
            raise InvalidInput(
                f"vad_silence_timeout_ms must be from {_SILENCE_MS[0]} to {_SILENCE_MS[1]}; "
                f"got {vad_silence_timeout_ms}",
                param="vad_silence_timeout_ms",
            )
        self._silence_ms = None if use_semantic_segmentation else vad_silence_timeout_ms
        self._phrases = tuple(phrases)
        self._client: AzureRecognizer | None = None
        self._session: AzureRecognizing | None = None
        self._listening: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._keeps_warm = False
        self._partial: ResultCallback | None = None
        self._final: ResultCallback | None = None
        self._canceled: Callable[[SpeechPoolError], object] | None = None

    # --- what is told ---

    def set_partial_result_callback(self, callback: ResultCallback | None) -> None:
        """Call `callback(text, language)` for what a segment sounds like so far."""
        self._partial = callback

    def set_final_result_callback(self, callback: ResultCallback | None) -> None:
        """Call `callback(text, language)` for the final text of each segment."""
        self._final = callback

    def set_cancel_callback(self, callback: Callable[[SpeechPoolError], object] | None) -> None:
        """Call `callback(error)` where a session ends because something failed."""
        self._canceled = callback

    def set_phrases(self, phrases: Sequence[str]) -> None:
        """Words and phrases that are likely, from the next `start()` on."""
        self._phrases = tuple(phrases)

    # --- a session ---

    @property
    def is_ready(self) -> bool:
        """Whether a session can begin: not closed, none under way, and no connection that it had is lost."""
        if self._is_closed or self._listening is not None:
            return False
        is_opening = self._opening is not None and not self._opening.done()
        has_connection = self._client is not None and self._client.is_ready
        return has_connection or is_opening or not self._keeps_warm

    def warm_connection(self) -> bool:
        """Open the connection of the next session, and from now on another one after each; True once it is open.

        Raises:
            SettingsError: Key, region or endpoint is missing or malformed.
            AuthenticationFailed: Azure refused the credentials.
            Throttled: Azure asks for fewer requests.
            EngineUnavailable: Azure cannot be reached.
            EngineTimeout: It did not answer within `timeout_seconds`.
            EngineFailed: `close()` was called.
        """
        self._run(self._warm())
        self._keeps_warm = True
        return True

    def start(self) -> None:
        """Begin a session; raises as `warm_connection()` does, where its connection is not open yet.

        Raises:
            InvalidInput: A phrase cannot be used.
            EngineFailed: A session is under way.
        """
        self._run(self._start())

    def write_bytes(self, audio_chunk: bytes) -> None:
        """Hand over audio, cut anywhere; waits while Azure is behind by more than 2 s of audio.

        Raises:
            EngineFailed: No session is under way, or Azure broke off.
            SpeechError: It failed otherwise.
        """
        self._run(self._under_way().write(audio_chunk))

    def commit(self) -> None:
        """Force the current segment to its final result now; audio may follow."""
        self._run(self._under_way().commit())

    def close_stream(self) -> None:
        """No more audio; returns at once, the last results follow. `stop()` waits for them."""
        if self._session is not None:
            self._run(self._session.finish())

    def stop(self) -> None:
        """End the session: when it returns the last result was told.

        Raises:
            SpeechError: The session failed.
        """
        if self._listening is not None:
            self._run(self._stop())

    def clear_session_state(self) -> None:
        """Forget the session: one under way is stopped, callbacks, phrases and its name are gone."""
        self._partial = self._final = self._canceled = None
        self._phrases = ()
        self.call_connection_id = None
        if self._listening is not None and not self._is_closed:
            self._run(self._cancel(), _CLOSE_SECONDS)

    def close(self) -> None:
        """End what is under way and close the connection; safe to call again."""
        if not self._is_closed and self._home is not None:
            self._keeps_warm = False
            self._run(self._close(), _CLOSE_SECONDS)
        self._is_closed = True

    def _release_soon(self, home: Background) -> None:
        client = self._client
        if client is not None:
            home.post(lambda: asyncio.ensure_future(client.close()))

    def _under_way(self) -> AzureRecognizing:
        if self._session is None:
            raise EngineFailed("no session is under way; call start() first")
        return self._session

    # --- on the loop ---

    async def _warm(self) -> AzureRecognizer:
        if self._opening is not None:
            await asyncio.shield(self._opening)
        client = self._client
        if client is None or not client.is_ready:
            if client is not None:
                await client.close()
            engine = await self._background.engine(self._options)
            client = self._client = await engine.create_recognizer(self._profile)
        return client

    async def _start(self) -> None:
        if self._listening is not None:
            raise EngineFailed("a session is under way; call stop() first")
        client = await self._warm()
        self._session = client.recognize(
            RecognitionOptions(
                phrases=self._phrases,
                segmentation_silence_ms=self._silence_ms,
                segmentation_strategy="Semantic" if self._silence_ms is None else None,
                partials=self._partial is not None,
            )
        )
        self._listening = asyncio.create_task(self._listen(self._session))

    async def _listen(self, session: AzureRecognizing) -> None:
        language = self._profile.languages[0]
        try:
            async for event in session:
                if isinstance(event, Partial):
                    await self._tell(self._partial, event.text, language)
                elif isinstance(event, Final) and event.text:
                    language = event.language
                    await self._tell(self._final, event.text, language)
        except SpeechPoolError as error:
            if self._canceled:
                await self._call(self._canceled, error)
            raise

    async def _tell(self, callback: ResultCallback | None, text: str, language: str) -> None:
        if callback:
            await self._call(callback, *(text, language, None)[: _arguments(callback)])

    async def _call(self, callback: Callable[..., object], *args: object) -> None:
        try:
            await self._background.call(callback, *args)
        except Exception as error:  # noqa: BLE001 - the program's own; the session goes on
            logger.error("a callback failed", extra={"error": type(error).__name__})  # noqa: TRY400 - a trace would show text

    async def _stop(self) -> None:
        await self._under_way().finish()
        try:
            await self._listened()
        finally:
            await self._end()

    async def _cancel(self) -> None:
        if self._session is not None:
            await self._session.cancel()
        await asyncio.wait([self._listened_task()])
        await self._end()

    async def _listened(self) -> None:
        await asyncio.shield(self._listened_task())

    def _listened_task(self) -> "asyncio.Task[None]":
        if self._listening is None:
            raise EngineFailed("no session is under way; call start() first")
        return self._listening

    async def _end(self) -> None:
        """The session is over, and its connection with it; another one is opened behind."""
        if self._session is not None:
            await self._session.cancel()
            facts = {"was_warm": self._session.report.was_warm, "call_connection_id": self.call_connection_id}
            logger.debug("session ended", extra=facts)
        if self._listening is not None and self._listening.done() and not self._listening.cancelled():
            self._listening.exception()  # told by the callback, or by stop()
        self._session = self._listening = None
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if self._keeps_warm:
            self._opening = asyncio.create_task(self._open_behind())

    async def _open_behind(self) -> None:
        try:
            engine = await self._background.engine(self._options)
            self._client = await engine.create_recognizer(self._profile)
        except SpeechPoolError as error:
            logger.warning("no connection for the next session", extra={"reason": str(error)})

    async def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._listening is not None:
            await self._cancel()
        elif self._client is not None:
            await self._client.close()


def _profile(languages: Sequence[str], audio_format: str, sample_rate: int) -> RecognitionProfile:
    if isinstance(languages, str) or not languages:
        raise InvalidInput(
            "candidate_languages must be a list of at least one tag, as en-US", param="candidate_languages"
        )
    if audio_format not in {"pcm", "mulaw", "alaw"}:
        raise InvalidInput(f"audio_format must be 'pcm', 'mulaw' or 'alaw'; got {audio_format!r}", param="audio_format")
    if audio_format == "pcm" and sample_rate not in {8_000, 16_000, 24_000, 48_000}:
        raise InvalidInput(
            f"sample_rate must be 8000, 16000, 24000 or 48000 for PCM; got {sample_rate!r}", param="sample_rate"
        )
    form = AudioFormat(Codec(audio_format), sample_rate if audio_format == "pcm" else 8_000)
    mode = LanguageMode.DETECT if len(languages) > 1 else LanguageMode.SINGLE
    return RecognitionProfile(format=form, languages=tuple(languages), language_mode=mode)


def _arguments(callback: ResultCallback) -> int:
    """How many of text, language and speaker it takes: the third where it cannot do without."""
    try:
        inspect.signature(callback).bind("", "")
    except TypeError:
        return 3
    except ValueError:  # of a builtin, which has no signature
        return 2
    return 2
