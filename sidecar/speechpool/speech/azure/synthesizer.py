"""Clients that speak: each one connection to Azure, opened before it is used, and used again and again."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from speechpool.errors import (
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    SpeechError,
    SpeechPoolError,
)
from speechpool.speech.azure.border import speech_config
from speechpool.speech.azure.bridge import Bridge
from speechpool.speech.azure.credentials import Credential, CredentialSource
from speechpool.speech.azure.documents import document_of
from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.sdk_synthesizer import (
    COMPRESSED_BYTES_PER_SECOND,
    SdkRequest,
    SdkSynthesizer,
    Source,
    SsmlSource,
    Wanted,
)
from speechpool.speech.azure.speaking import AzureSpeaking, Ties
from speechpool.speech.azure.threads import SdkThreads
from speechpool.speech.azure.window import Window
from speechpool.speech.engine import LostCallback, SynthesisProfile, Utterance

__all__ = ["AzureSynthesizer", "client_properties"]

logger = logging.getLogger(__name__)

_ASK_SECONDS = 1.0
"""Guess: a connection takes some round trips to open; one that takes longer than this may have been refused."""

_STOP_SECONDS = 3.0
"""How long a request may take to end once it was stopped; then the client is closed and replaced. It takes 21 ms at
most where the machine has time for it (`AzureSpeaking.cancel`): the rest is for one that has not."""


def client_properties(options: AzureOptions) -> dict[str, str]:
    """Properties of the SDK by name that a client is made with; none is in its documents, and it works without them."""
    return {
        "SpeechSynthesis_KeepConnectionAfterStopping": str(options.keep_connection).lower(),
        "SpeechSynthesis_FirstChunkTimeoutMs": str(round(options.sdk_first_chunk_timeout_seconds * 1000)),
        "SpeechSynthesis_MaxRetryTimes": str(options.sdk_retries),
    }


class AzureSynthesizer:
    """A client that speaks whole texts.

    Args:
        profile: What it makes.
        endpoint: Where it connects to.
        credentials: What it shows there.
        threads: Where the SDK is called.
        options: The engine's.
    """

    version = "v1"
    """The protocol that it speaks with Azure."""

    def __init__(
        self,
        profile: SynthesisProfile,
        endpoint: Endpoint,
        credentials: CredentialSource,
        threads: SdkThreads,
        options: AzureOptions,
    ) -> None:
        self._profile = profile
        self._endpoint = endpoint
        self._credentials = credentials
        self._threads = threads
        self._options = options
        self._synthesizer: SdkSynthesizer | None = None
        self._opening: asyncio.Future[None] | None = None
        self._speaking: AzureSpeaking | None = None
        self._request: SdkRequest | None = None
        self._on_lost: list[LostCallback] = []
        self._is_open = False
        self._is_spent = False  # broken, lost, retired or closed

    def __repr__(self) -> str:
        state = "spent" if self._is_spent else "busy" if not self._is_idle else "open" if self._is_open else "new"
        return f"<{type(self).__name__} {self._endpoint.name} {state}>"

    # --- the pool's side ---

    @property
    def is_ready(self) -> bool:
        """Whether its connection is open, its credential holds, and nothing is under way but what stops by itself."""
        return self.is_reusable and (self._is_idle or self._is_stopping)

    @property
    def endpoint(self) -> str | None:
        """Name of its endpoint, for people."""
        return self._endpoint.name

    @property
    def is_reusable(self) -> bool:
        """Whether it may serve again: its connection is open, and nothing happened that may have harmed it."""
        return self._is_open and not self._is_spent and self._credentials.problem is None

    @property
    def _is_idle(self) -> bool:
        return self._speaking is None or self._speaking.is_over

    @property
    def _is_stopping(self) -> bool:
        """Whether what is under way was cancelled, and leaves the connection as it is."""
        speaking = self._speaking
        return self._options.keep_connection and bool(speaking and speaking.is_stopping and not speaking.is_suspect)

    async def warm(self) -> bool:
        """Open the connection, within `connectTimeoutSeconds`.

        The SDK tells of no refusal. So a second, or half of that time where that is less, is waited for the connection
        alone, and the rest for it or for the reason that the endpoint gives when it is asked another way.

        Raises:
            AuthenticationFailed: Azure refused the credentials.
            Throttled: Azure asks for fewer requests.
            EngineUnavailable: Azure cannot be reached.
            EngineTimeout: It does not answer.
            EngineFailed: The client is closed or spent.
        """
        if self._is_spent:
            raise EngineFailed("the synthesizer is closed or spent")
        if self._is_open:
            return True
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self._opening = loop.create_future()
        try:
            error = await self._connect(self._opening)
        finally:
            self._opening = None
        if error is None:
            self._endpoint.opened(loop.time() - began_at)
            return True
        if not self._is_spent:  # else it was closed meanwhile
            self._give_up()
            self._endpoint.failed(error)
        raise error

    def on_lost(self, callback: LostCallback) -> None:
        """Call `callback()` once if the connection is lost while nobody uses it."""
        self._on_lost.append(callback)

    async def clear_session_state(self) -> None:
        """Stop what is under way, and wait until the SDK is done with it: handlers are disconnected with it.

        Raises:
            EngineFailed: The SDK does not stop, or something happened that may have harmed the client.
        """
        speaking = self._speaking
        if speaking is not None:
            await speaking.cancel()
            if not await speaking.wait_over(_STOP_SECONDS):
                self._is_spent = True
                raise _not_stopped()
            self._speaking = None
        if not self.is_reusable:
            raise EngineFailed("the synthesizer is closed or spent")

    async def close(self) -> None:
        """End what is under way, and let the reaper stop and release the SDK's part; returns at once."""
        if self._speaking is not None:
            self._speaking.fail(EngineFailed("the synthesizer was closed"))
        self._give_up()

    # --- the engine's side ---

    def renew(self, credential: Credential) -> None:
        """Show a renewed token from the next connection on; the one that is open goes on with the old one."""
        if self._synthesizer is not None and credential.kind == "token":
            self._threads.start(self._synthesizer.authorize, credential)

    def retire(self) -> None:
        """Its endpoint is out of use: as lost, if nobody uses it; else it serves to the end of its use."""
        if self._is_spent:
            return
        if self._is_idle:
            self._lose()
        else:
            self._is_spent = True

    # --- the user's side ---

    def speak(self, utterance: Utterance) -> AzureSpeaking:
        """Start an utterance; after one that was cancelled and still stops, as soon as that has ended.

        Raises:
            EngineFailed: Another one is under way, or the client is not open, closed or spent.
            InvalidInput: The text cannot be spoken, is no SSML, or is longer than Azure takes.
        """
        self._check_free()
        document = document_of(utterance)
        speaking = AzureSpeaking(
            self._make_ties(), words=document.words, text=utterance.text, expects_audio=document.has_words
        )
        wanted = Wanted(words=utterance.word_boundaries, visemes=utterance.visemes, bookmarks=document.has_bookmarks)
        self._begin(speaking, SsmlSource(document.ssml), wanted)
        return speaking

    # --- within ---

    def _properties(self) -> Mapping[str, str]:
        return client_properties(self._options)

    def _make_ties(self) -> Ties:
        audio = self._profile.format
        rate = audio.bytes_per_second if audio.is_raw else COMPRESSED_BYTES_PER_SECOND
        return Ties(
            endpoint=self._endpoint.name,
            window=Window(int(rate * self._options.max_buffered_seconds)),
            stop=self._stop,
            on_end=self._ended,
        )

    def _check_free(self) -> None:
        if not self._is_idle and not self._is_stopping:
            raise EngineFailed("the synthesizer is still in use")
        if not self.is_ready:
            raise EngineFailed(f"the synthesizer is {'closed or spent' if self._is_spent else 'not open'}")

    def _begin(self, speaking: AzureSpeaking, source: Source, wanted: Wanted) -> None:
        assert self._synthesizer is not None
        request = SdkRequest(source, wanted, speaking.window, speaking, Bridge())
        if not self._is_idle:
            asyncio.get_running_loop().call_later(_STOP_SECONDS, self._wait_no_longer, speaking)
        self._threads.start(self._synthesizer.say, request)
        self._speaking = speaking
        self._request = request

    def _wait_no_longer(self, speaking: AzureSpeaking) -> None:
        """What it begins after should have stopped by now."""
        if not speaking.has_begun:
            self._is_spent = True
            speaking.fail(_not_stopped())

    def _stop(self, speaking: AzureSpeaking) -> None:
        if speaking is self._speaking and self._request is not None and self._synthesizer is not None:
            self._threads.dispose(partial(self._synthesizer.stop, self._request), name="utterance")

    def _ended(self, speaking: AzureSpeaking, error: SpeechPoolError | None) -> None:
        if speaking is self._speaking:
            self._request = None
        if error is not None:
            self._endpoint.failed(error)
        elif speaking.has_audio:
            self._endpoint.succeeded()
        if isinstance(error, SpeechError) or speaking.is_suspect:
            self._is_spent = True  # its connection may be half open: the SDK would use it again

    async def _connect(self, opened: asyncio.Future[None]) -> SpeechPoolError | None:
        """Open the connection: None once it is open, else why it is not."""
        limit_seconds = self._options.connect_timeout_seconds
        due_at = asyncio.get_running_loop().time() + limit_seconds
        try:
            async with asyncio.timeout_at(due_at):
                await self._make()
                await asyncio.wait({opened}, timeout=min(_ASK_SECONDS, limit_seconds / 2))
        except TimeoutError:
            return self._silent()
        except SpeechError as error:  # there is no credential to show
            return error
        except (RuntimeError, ValueError) as error:
            return EngineUnavailable(f"Azure's SDK made no client for {self._endpoint.name} ({type(error).__name__})")
        return self._after_opening() if opened.done() else await self._ask(opened, due_at)

    def _after_opening(self) -> EngineFailed | None:
        return None if self._is_open else EngineFailed("the synthesizer was closed before its connection was open")

    async def _ask(self, opened: asyncio.Future[None], due_at: float) -> SpeechPoolError | None:
        """Ask the endpoint why, and go on waiting as long as the answer leaves hope."""
        why = asyncio.ensure_future(self._endpoint.why())
        try:
            async with asyncio.timeout_at(due_at):
                answers: set[asyncio.Future[Any]] = {why, opened}
                await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
                if not opened.done() and isinstance(why.result(), EngineTimeout):  # it is only slow
                    await asyncio.wait({opened})
        except TimeoutError:
            pass
        finally:
            why.cancel()
        if opened.done():
            return self._after_opening()
        return why.result() if why.done() and not why.cancelled() else self._silent()

    def _silent(self) -> EngineTimeout:
        limit_seconds = self._options.connect_timeout_seconds
        return EngineTimeout(
            f"Azure ({self._endpoint.name}) opened no connection within connectTimeoutSeconds = {limit_seconds:g}"
        )

    async def _make(self) -> None:
        if self._synthesizer is None:
            made = await self._threads.run(self._make_sdk, Bridge(), discard=SdkSynthesizer.release)
            if self._is_spent:  # closed meanwhile
                self._threads.dispose(made.release, name="synthesizer")
                raise EngineFailed("the synthesizer was closed")
            self._synthesizer = made
        await self._threads.run(self._synthesizer.open)

    def _make_sdk(self, bridge: Bridge) -> SdkSynthesizer:
        config = speech_config(
            self._endpoint,
            self._credentials.current,
            self._options,
            properties=self._properties(),
            version=self.version,
        )
        return SdkSynthesizer(
            config, self._profile.format, bridge, connected=self._on_connected, disconnected=self._on_disconnected
        )

    def _lose(self) -> None:
        self._give_up()
        callbacks, self._on_lost = self._on_lost, []
        for callback in callbacks:
            callback()

    def _give_up(self) -> None:
        """Out of use for good: the reaper gets the SDK's part."""
        self._is_spent = True
        self._is_open = False
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(None)
        synthesizer, self._synthesizer = self._synthesizer, None
        if synthesizer is not None:
            self._threads.dispose(synthesizer.release, name="synthesizer")

    # --- what the SDK tells ---

    def _on_connected(self) -> None:
        if self._is_spent:
            return
        self._is_open = True
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(None)
        elif self._speaking is not None and not self._is_idle:
            self._speaking.connection_changed()
            self._endpoint.reconnected()

    def _on_disconnected(self) -> None:
        was_open, self._is_open = self._is_open, False
        if self._speaking is not None and not self._is_idle:
            self._speaking.connection_changed()
        elif was_open and not self._is_spent:
            logger.debug("synthesizer lost its connection", extra={"endpoint": self._endpoint.name})
            self._lose()


def _not_stopped() -> EngineFailed:
    return EngineFailed(f"the SDK did not stop within {_STOP_SECONDS:g} s")
