"""The Azure engine itself: chooses endpoints, makes clients, follows credentials."""

import asyncio
import logging
import random
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from speechpool.errors import EngineUnavailable, SettingsError, SpeechError
from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool.speech.azure.credentials import Credential, CredentialSource
from speechpool.speech.azure.endpoints import Endpoint, EndpointList
from speechpool.speech.azure.entra import TokenMaker, default_token_maker
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.measuring import measure
from speechpool.speech.azure.memory import bound_arenas
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.site import make_sites
from speechpool.speech.azure.threads import SdkThreads
from speechpool.speech.azure.voice_lists import VoiceLists
from speechpool.speech.azure.voices import Voices
from speechpool.speech.engine import (
    EngineCapabilities,
    Measurement,
    RecognitionProfile,
    StaleCallback,
    SynthesisProfile,
    Voice,
)

if TYPE_CHECKING:
    from speechpool.speech.azure.recognizer import AzureRecognizer
    from speechpool.speech.azure.synthesizer import AzureSynthesizer

__all__ = ["AzureEngine"]

C = TypeVar("C", "AzureSynthesizer", "AzureRecognizer")

logger = logging.getLogger(__name__)

OPEN_SECONDS = 3.0
"""How long opening waits for credentials, and then for voices; both go on behind it."""

CLOSE_SECONDS = 4.0
"""How long closing waits for the SDK's calls; a second less than the service allows an engine."""

_INPUT_RATES_HZ = (8_000, 16_000, 24_000, 48_000)

CAPABILITIES = EngineCapabilities(
    output_formats=frozenset(OUTPUT_FORMATS.values()),
    input_formats=frozenset(
        {AudioFormat(Codec.PCM, rate) for rate in _INPUT_RATES_HZ}
        | {AudioFormat(Codec.MULAW, 8_000), AudioFormat(Codec.ALAW, 8_000)}
    ),
    languages=frozenset(),  # Azure decides when it is asked
    ssml=True,
    word_boundaries=True,
    visemes=True,
    text_streaming=True,
    phrases=True,
    language_detection=True,
    segmentation=True,
    phonemes=True,
)


class AzureEngine:
    """Azure Speech behind the engine protocol.

    Args:
        options: Its section of the settings.
        make_token: Makes azure-identity's credential, for endpoints that are used with Microsoft Entra ID.
        rng: Source of all jitter.
    """

    def __init__(
        self,
        options: AzureOptions,
        *,
        make_token: Callable[[], TokenMaker] = default_token_maker,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()
        self._options = options
        self._threads = SdkThreads(limit=options.sdk_threads)
        self._sites = make_sites(options, self._threads, make_token=make_token, rng=rng)
        self._endpoints = {
            work: EndpointList(work, [site.endpoints[work] for site in self._sites if work in site.endpoints])
            for work in Work
        }
        self._clients: weakref.WeakKeyDictionary[AzureSynthesizer | AzureRecognizer, Endpoint] = (
            weakref.WeakKeyDictionary()
        )
        self._voices = self._named(())
        self._voice_lists = VoiceLists(self._sites, self._learn_voices, rng)
        self._on_stale: list[StaleCallback] = []
        self._delivered: set[CredentialSource] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._is_open = False
        for endpoints in self._endpoints.values():
            for endpoint in endpoints:
                endpoint.on_left(partial(self._leave, endpoints))

    # --- what it is ---

    @property
    def name(self) -> str:
        """The setting `engine`'s value."""
        return "azure"

    @property
    def capabilities(self) -> EngineCapabilities:
        """What Azure can do."""
        return CAPABILITIES

    @property
    def voices(self) -> Sequence[Voice]:
        """The voices of all endpoints; none before the first has listed them."""
        return self._voices.all

    @property
    def problem(self) -> str | None:
        """Why no client can be made for a service, in a sentence; None where each has an endpoint that works."""
        problems = dict.fromkeys(each.problem for each in self._endpoints.values() if each.problem)
        return "; ".join(problem for problem in problems if problem) or None

    def on_stale(self, callback: StaleCallback) -> None:
        """Call `callback("credentials")` when a key has changed, or a credential came that was missing or refused."""
        self._on_stale.append(callback)

    def measurements(self) -> Sequence[Measurement]:
        """What it exports."""
        return tuple(measure(self._sites, self._threads, self._clients.values()))

    def resolve_voice(self, name: str) -> str:
        """Azure's own name of a voice; any name is let through until the voices are known.

        Raises:
            InvalidInput: No endpoint has such a voice (param `voice`, code `voice_not_found`).
        """
        return self._voices.resolve(name)

    # --- clients ---

    async def create_synthesizer(self, profile: SynthesisProfile) -> "AzureSynthesizer":
        """A client that speaks, with its connection open; of a profile with `text_streaming` one that takes pieces.

        Raises:
            SettingsError: Azure does not make the profile's format, or no endpoint is for synthesis.
            AuthenticationFailed: Every endpoint refuses its credential, or has none.
            Throttled: Every endpoint asks for fewer requests.
            EngineUnavailable: No endpoint can be tried now, or none that could opens a connection; the message says
                why.
        """
        if profile.format not in CAPABILITIES.output_formats:
            raise SettingsError(f"outputFormat must be one of {', '.join(OUTPUT_FORMATS)}; got {profile.format}")
        from speechpool.speech.azure.pieces import AzureStreamingSynthesizer  # noqa: PLC0415 - see create_engine
        from speechpool.speech.azure.synthesizer import AzureSynthesizer  # noqa: PLC0415 - likewise

        made = AzureStreamingSynthesizer if profile.text_streaming else AzureSynthesizer

        def make(endpoint: Endpoint) -> AzureSynthesizer:
            return made(profile, endpoint, endpoint.credentials, self._threads, self._options)

        return await self._connected(Work.SYNTHESIS, make)

    async def create_recognizer(self, profile: RecognitionProfile) -> "AzureRecognizer":
        """A client that understands, with its connection open; raises as `create_synthesizer` does."""
        if profile.format not in CAPABILITIES.input_formats:
            raise SettingsError(f"Azure recognises PCM of 8, 16, 24 and 48 kHz and 8 kHz G.711; got {profile.format}")
        from speechpool.speech.azure.recognizer import AzureRecognizer  # noqa: PLC0415 - see create_engine

        def make(endpoint: Endpoint) -> AzureRecognizer:
            return AzureRecognizer(profile, endpoint, endpoint.credentials, self._threads, self._options)

        return await self._connected(Work.RECOGNITION, make)

    async def _connected(self, work: Work, make: Callable[[Endpoint], C]) -> C:
        """A client whose connection is open, at the first endpoint that can be tried and opens one."""
        endpoints = self._endpoints_for(work)
        tried: list[Endpoint] = []
        while True:
            endpoint = endpoints.choose(tried)
            try:
                return await self._connect(make(endpoint), endpoint)
            except SpeechError:
                tried.append(endpoint)
                if not endpoints.can_choose(tried):
                    raise

    async def _connect(self, client: C, endpoint: Endpoint) -> C:
        self._clients[client] = endpoint
        try:
            await client.warm()
        except BaseException:
            endpoint.end_probe()
            await client.close()
            raise
        return client

    def _endpoints_for(self, work: Work) -> EndpointList:
        if not self._is_open:
            raise EngineUnavailable("the Azure engine is not open")
        endpoints = self._endpoints[work]
        if not endpoints:
            raise SettingsError(f"engines.azure.endpoints: none serves {work}; add one, or remove such pools")
        return endpoints

    # --- life ---

    async def open(self) -> None:
        """Load the SDK, get the credentials, learn the voices; what the network does not give yet is tried on behind.

        Raises:
            EngineUnavailable: The SDK cannot be loaded; the message says what to install.
        """
        if self._is_open:
            return
        bound_arenas()
        await self._threads.run(_load_sdk)
        for source in self._sources():
            source.on_change(partial(self._credential_changed, source))
        await self._open_sources()
        self._is_open = True
        await self._voice_lists.open(OPEN_SECONDS)

    async def close(self) -> None:
        """Stop all that runs behind, and wait for the SDK's calls, at most a few seconds."""
        self._is_open = False
        await self._voice_lists.close()
        for opening in self._opening:
            opening.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await asyncio.gather(
            *(source.close() for source in self._sources()),
            *(probe.close() for site in self._sites for probe in site.probes.values()),
        )
        await self._threads.close(CLOSE_SECONDS)

    # --- within ---

    async def _open_sources(self) -> None:
        """Those that are not there in time come behind, each in a task of its own."""
        self._opening = {
            asyncio.create_task(source.open(), name="speechpool-azure-credentials") for source in self._sources()
        }
        await asyncio.wait(self._opening, timeout=OPEN_SECONDS)

    def _sources(self) -> Sequence[CredentialSource]:
        return tuple(dict.fromkeys(site.credentials for site in self._sites))

    def _credential_changed(self, source: CredentialSource, credential: Credential) -> None:
        """A new key is shown by new clients only; a renewed token is shown by those there are, when they reconnect."""
        endpoints = [each for site in self._sites if site.credentials is source for each in site.endpoints.values()]
        is_relief = source not in self._delivered or any(each.problem for each in endpoints)
        self._delivered.add(source)
        for each in endpoints:
            each.reset()
        if credential.kind == "token":
            for client, endpoint in list(self._clients.items()):
                if endpoint.credentials is source:
                    client.renew(credential)
        if self._is_open and (credential.kind == "key" or is_relief):
            logger.info("credentials changed", extra={"setting": source.setting})
            for callback in self._on_stale:
                callback("credentials")

    def _leave(self, endpoints: EndpointList, left: Endpoint) -> None:
        """Clients of an endpoint that does not work are of no use while another one works."""
        logger.warning(
            "endpoint left alone",
            extra={
                "endpoint": left.name,
                "work": str(left.work),
                "reason": str(left.problem),
                "retry_in_seconds": round(left.retry_in_seconds, 2),
            },
        )
        if endpoints.has_other(left):
            for client, endpoint in list(self._clients.items()):
                if endpoint is left:
                    client.retire()

    def _learn_voices(self, lists: Sequence[Sequence[Voice]]) -> None:
        self._voices = self._named(lists)

    def _named(self, lists: Sequence[Sequence[Voice]]) -> Voices:
        return Voices(lists, language=self._options.language, aliases=self._options.voices)


def _load_sdk() -> None:
    """In a thread: it takes a third of a second."""
    try:
        import azure.cognitiveservices.speech  # noqa: F401, PLC0415 - only to see that it can be
    except ImportError as error:
        raise EngineUnavailable(
            f"Azure's Speech SDK is not installed ({error}); install the extra: pip install 'speechpool[azure]'"
        ) from error
    except OSError as error:
        raise EngineUnavailable(
            f"Azure's Speech SDK cannot be loaded ({error}); it needs glibc 2.31 or newer, libstdc++ and libuuid"
        ) from error
