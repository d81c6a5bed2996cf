"""Clients that understand: each one connection to Azure, opened before it is used, and used once.

The SDK's recogniser remembers: a second session on it continues the first (its session id, its times, its service
tag), its phrases stay, and after any error it is dead. So a client serves one session and is replaced.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from speechpool.errors import EngineFailed, EngineUnavailable, SpeechError, SpeechPoolError
from speechpool.speech.azure.border import authorize, speech_config
from speechpool.speech.azure.bridge import Bridge
from speechpool.speech.azure.credentials import Credential, CredentialSource
from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.hearing import Hearing
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.recognizing import AzureRecognizing
from speechpool.speech.azure.sdk_recognizer import SdkRecognizer, client_properties
from speechpool.speech.azure.threads import SdkThreads
from speechpool.speech.azure.tuning import check_options, session_properties
from speechpool.speech.engine import LanguageMode, LostCallback, RecognitionOptions, RecognitionProfile

__all__ = ["AzureRecognizer"]

logger = logging.getLogger(__name__)

_MAX_LANGUAGES = 10
"""Candidates of continuous language identification (Microsoft Learn, "Implement language identification")."""


class AzureRecognizer:
    """A client that understands.

    `LanguageMode.DETECT` is Azure's continuous identification: the language may change within a session, and each
    final result says its own.

    Args:
        profile: What it understands.
        endpoint: Where it connects to.
        credentials: What it shows there.
        threads: Where the SDK is called.
        options: The engine's.

    Raises:
        EngineUnavailable: Azure cannot detect so many languages.
    """

    def __init__(
        self,
        profile: RecognitionProfile,
        endpoint: Endpoint,
        credentials: CredentialSource,
        threads: SdkThreads,
        options: AzureOptions,
    ) -> None:
        if profile.language_mode is LanguageMode.DETECT and len(profile.languages) > _MAX_LANGUAGES:
            raise EngineUnavailable(
                f"languages has {len(profile.languages)} entries; Azure detects one of at most {_MAX_LANGUAGES}"
            )
        self._profile = profile
        self._endpoint = endpoint
        self._credentials = credentials
        self._threads = threads
        self._options = options
        self._hearing = Hearing(endpoint.name, lost=self._lose, reconnected=endpoint.reconnected)
        self._recognizer: SdkRecognizer | None = None
        self._session: AzureRecognizing | None = None
        self._on_lost: list[LostCallback] = []
        self._is_spent = False  # used, lost, retired or closed
        self._is_closed = False

    def __repr__(self) -> str:
        state = "spent" if self._is_spent else "open" if self._hearing.is_open else "new"
        return f"<AzureRecognizer {self._endpoint.name} {state}>"

    # --- the pool's side ---

    @property
    def is_ready(self) -> bool:
        """Whether its connection is open and it was not used."""
        return self._hearing.is_open and not self._is_spent

    @property
    def endpoint(self) -> str | None:
        """Name of its endpoint, for people."""
        return self._endpoint.name

    @property
    def is_reusable(self) -> bool:
        """Whether it was not used, and nothing happened to it."""
        return not self._is_spent

    async def warm(self) -> bool:
        """Open the connection, within `connectTimeoutSeconds`.

        Raises:
            AuthenticationFailed: Azure refused the credentials.
            Throttled: Azure asks for fewer requests.
            EngineUnavailable: Azure cannot be reached.
            EngineTimeout: It does not answer.
            EngineFailed: The client is closed or spent.
        """
        if self._is_spent:
            raise EngineFailed("the recogniser is closed or spent")
        if self._hearing.is_open:
            return True
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            async with asyncio.timeout(self._options.connect_timeout_seconds):
                await self._connect()
        except TimeoutError:
            error: SpeechPoolError = await self._endpoint.why()
        except SpeechError as refusal:
            error = refusal
        else:
            self._endpoint.opened(loop.time() - began_at)
            return True
        self._give_up()
        self._endpoint.failed(error)
        raise error

    def on_lost(self, callback: LostCallback) -> None:
        """Call `callback()` once if the connection is lost while nobody uses it: it cannot be opened again."""
        self._on_lost.append(callback)

    async def clear_session_state(self) -> None:
        """End what is under way. A client that was used keeps what the SDK remembers, and so is never used again."""
        if self._session is not None:
            await self._session.cancel()

    async def close(self) -> None:
        """End what is under way and let the reaper stop and release the SDK's part; returns at once."""
        self._is_closed = True
        if self._session is not None:
            self._session.fail(EngineFailed("the recogniser was closed"))
        self._give_up()

    # --- the engine's side ---

    def renew(self, credential: Credential) -> None:
        """Show a renewed token from the next connection on; the one that is open goes on with the old one."""
        if self._recognizer is not None and credential.kind == "token":
            authorize(self._recognizer.native, credential)

    def retire(self) -> None:
        """Its endpoint is out of use: as lost, if nobody uses it."""
        if self._session is None and not self._is_spent:
            self._lose()

    # --- the user's side ---

    def recognize(self, options: RecognitionOptions) -> AzureRecognizing:
        """Start a recognition: the only one of this client.

        Raises:
            EngineFailed: It is not ready: not open yet, used already, lost, or closed.
            InvalidInput: An option is out of bounds, not possible with another, or not for this client.
        """
        check_options(options, self._profile, language_is_fixed="host" in self._endpoint.sdk_arguments())
        recognizer = self._recognizer
        if not self.is_ready or recognizer is None:
            raise EngineFailed(f"the recogniser is {'closed or spent' if self._is_spent else 'not open yet'}")
        self._is_spent = True
        session = AzureRecognizing(
            recognizer, self._profile, options, self._options, endpoint=self._endpoint.name, on_end=self._ended
        )
        self._session = session
        self._hearing.hand_over(session)
        properties = session_properties(options, self._profile)
        self._threads.start(_start, recognizer, properties, options.phrases, Bridge(), session)
        return session

    # --- within ---

    async def _connect(self) -> None:
        recognizer = self._recognizer = await self._threads.run(
            _build,
            self._profile,
            self._endpoint,
            self._credentials.current,
            self._options,
            (self._hearing, Bridge()),
            discard=SdkRecognizer.release,
        )
        opened = self._hearing.expect()
        await self._threads.run(recognizer.open)
        await opened

    def _ended(self, error: SpeechPoolError | None) -> None:
        """The session is over."""
        if isinstance(error, SpeechError) and not self._is_closed:
            self._endpoint.failed(error)
        elif self._session is not None and self._session.is_answered:
            self._endpoint.succeeded()
        self._give_up()

    def _lose(self) -> None:
        """It died by itself, or is as good as dead."""
        if self._is_spent:
            return
        logger.debug("recogniser lost", extra={"endpoint": self._endpoint.name})
        self._give_up()
        for callback in self._on_lost:
            callback()

    def _give_up(self) -> None:
        """Out of use for good: the reaper gets the SDK's part."""
        self._is_spent = True
        recognizer, self._recognizer = self._recognizer, None
        if recognizer is not None:
            self._threads.dispose(recognizer.release, name="recogniser")


# --- in a thread ---


def _build(
    profile: RecognitionProfile,
    endpoint: Endpoint,
    credential: Credential,
    options: AzureOptions,
    told: tuple[Hearing, Bridge],
) -> SdkRecognizer:
    properties = client_properties(
        profile, frame_ms=options.recognition_frame_ms, stop_seconds=options.stop_timeout_seconds
    )
    try:
        config = speech_config(endpoint, credential, options, properties=properties)
        return SdkRecognizer(config, profile, *told)
    except (RuntimeError, ValueError) as error:  # what the SDK raises; its text may hold the key
        raise EngineUnavailable(f"the SDK could not make a recogniser ({type(error).__name__})") from None


def _start(
    recognizer: SdkRecognizer,
    properties: Mapping[str, str],
    phrases: Sequence[str],
    bridge: Bridge,
    session: AzureRecognizing,
) -> None:
    try:
        recognizer.start(properties, phrases)
    except RuntimeError:
        bridge.post(session.fail, EngineFailed("the SDK could not start the recognition"))
