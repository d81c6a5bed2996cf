"""The embedded engine itself: checks what is installed, knows the voices, makes clients."""

import asyncio
import importlib.util
import os
from collections.abc import Sequence
from typing import Any, TypeVar

from speechpool.errors import EngineUnavailable, SettingsError, WorkerDied
from speechpool.formats import RAW_CODECS, AudioFormat, Codec
from speechpool.speech.engine import (
    EngineCapabilities,
    LanguageMode,
    Measurement,
    RecognitionProfile,
    StaleCallback,
    SynthesisProfile,
    Voice,
)
from speechpool.speech.local.catalog import Catalog, EspeakVoice
from speechpool.speech.local.client import WorkerClient
from speechpool.speech.local.messages import pack, unpack
from speechpool.speech.local.options import LocalOptions
from speechpool.speech.local.recognizer import LocalRecognizer
from speechpool.speech.local.synthesizer import ESPEAK_WORKER, LocalSynthesizer, espeak_arguments
from speechpool.workers.process import WorkerProcess

__all__ = ["LocalEngine"]

_OUTPUT_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
_INPUT_FORMAT = AudioFormat(Codec.PCM, 16_000)  # the bundled acoustic model's
_INSTALL = "install the extra: pip install 'speechpool[local]'"

C = TypeVar("C", bound=WorkerClient[Any])


class LocalEngine:
    """espeak-ng and pocketsphinx behind the engine protocol.

    Args:
        options: Its section of the settings.
    """

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        self._catalog: Catalog | None = None
        self._voices: Sequence[Voice] = ()
        # A start is half a second of one core: started all together twenty would all be late, in turn only the last.
        self._starts = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._capabilities = EngineCapabilities(
            output_formats=frozenset(AudioFormat(codec, rate) for codec in RAW_CODECS for rate in _OUTPUT_RATES_HZ),
            input_formats=frozenset({_INPUT_FORMAT}),
            languages=frozenset({options.language}),
            ssml=True,
            word_boundaries=True,
            visemes=True,
            phrases=True,
            grammar=True,
        )

    @property
    def name(self) -> str:
        """The setting `engine`'s value."""
        return "local"

    @property
    def capabilities(self) -> EngineCapabilities:
        """What it can do."""
        return self._capabilities

    @property
    def voices(self) -> Sequence[Voice]:
        """One for each language of espeak-ng, and the variants of American English; known after `open()`."""
        return self._voices

    @property
    def problem(self) -> str | None:
        """None: what it needs is checked when it opens."""
        return None

    def on_stale(self, callback: StaleCallback) -> None:
        """Never calls: nothing that its clients are made with changes."""

    def measurements(self) -> Sequence[Measurement]:
        """None of its own."""
        return ()

    def resolve_voice(self, name: str) -> str:
        """The voice's own name; takes "de" and "de+f2" too, any language with any variant.

        Raises:
            InvalidInput: No such voice (param `voice`, code `voice_not_found`).
            EngineUnavailable: The engine is not open.
        """
        if self._catalog is None:
            raise EngineUnavailable("the local engine is not open")
        return self._catalog.resolve(name)

    async def open(self) -> None:
        """Check that pocketsphinx is installed, and let a worker load espeak-ng and tell its voices.

        Raises:
            EngineUnavailable: One of them is missing, with what to install.
            SettingsError: An alias of the settings names no voice.
        """
        if importlib.util.find_spec("pocketsphinx") is None:
            raise EngineUnavailable(f"pocketsphinx is not installed; {_INSTALL}")
        found = await self._ask_voices()
        self._catalog = Catalog(found, self._options.voices)
        self._check_aliases(self._catalog)
        self._voices = tuple(self._catalog.voices())

    async def _ask_voices(self) -> list[EspeakVoice]:
        arguments = pack(espeak_arguments(self._options, None)).decode()
        worker = WorkerProcess(ESPEAK_WORKER, [arguments], name="voices", on_frame=lambda *_: None)
        try:
            await worker.start()
        except WorkerDied as error:
            raise EngineUnavailable(f"espeak-ng cannot be used ({error}); {_INSTALL}") from error
        finally:
            await worker.close()
        return [EspeakVoice(*fields) for fields in unpack(worker.greeting)]

    def _check_aliases(self, catalog: Catalog) -> None:
        known = Catalog(catalog.found, {})
        wrong = [alias for alias, name in self._options.voices.items() if not known.has(name)]
        if wrong:
            raise SettingsError(f"engines.local.voices: {', '.join(wrong)}: each must name a voice that exists")

    async def create_synthesizer(self, profile: SynthesisProfile) -> LocalSynthesizer:
        """A client that speaks.

        Raises:
            SettingsError: The profile's format is none that the engine makes.
            WorkerDied: Its worker did not start.
        """
        if profile.format not in self._capabilities.output_formats:
            raise SettingsError(f"outputFormat must be raw for the local engine; got {profile.format}")
        return await self._started(LocalSynthesizer(profile, self._options, self.resolve_voice("alloy")))

    async def create_recognizer(self, profile: RecognitionProfile) -> LocalRecognizer:
        """A client that understands.

        Raises:
            SettingsError: The profile has another format, another language, or asks for language detection.
            WorkerDied: Its worker did not start.
        """
        if profile.format not in self._capabilities.input_formats:
            raise SettingsError(f"the local engine recognises 16 kHz PCM; got {profile.format}")
        if profile.language_mode is not LanguageMode.SINGLE or set(profile.languages) != {self._options.language}:
            raise SettingsError(
                f"languages must be {self._options.language} alone for the local engine, whose one model it is; "
                f"got {', '.join(profile.languages)} ({profile.language_mode})"
            )
        return await self._started(LocalRecognizer(self._options))

    async def _started(self, client: C) -> C:
        async with self._starts:
            await client.start()
        return client

    async def close(self) -> None:
        """Nothing is left to release: clients own their workers."""
