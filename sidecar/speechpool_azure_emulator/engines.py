"""Which speaker and which listener the options ask for, and what both need."""

import importlib.util
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from speechpool_azure_emulator.listening import ScriptedListener
from speechpool_azure_emulator.options import EmulatorOptions
from speechpool_azure_emulator.speaking import TonesSpeaker
from speechpool_azure_emulator.state import Listener, Speaker

if TYPE_CHECKING:
    from speechpool.audio.codecs import Codecs

__all__ = ["Engines"]

_ENCODING_NEEDS = ("av", "audioop")


class Engines:
    """The speaker and the listener; what is behind them is imported only where it is needed and installed.

    Args:
        options: Say which.
        script: The listener for scripted recognition.
    """

    def __init__(self, options: EmulatorOptions, script: ScriptedListener) -> None:
        self._options = options
        self._opened = AsyncExitStack()
        self.speaker: Speaker = TonesSpeaker()
        self.listener: Listener = script

    async def open(self) -> None:
        """Load what they need.

        Raises:
            EngineUnavailable: The local engine cannot be used, with what to install.
        """
        needs_engine = "local" in (self._options.speech, self._options.recognition)
        if needs_engine or self._can_encode():
            await self._open_codecs(needs_engine=needs_engine)

    async def _open_codecs(self, *, needs_engine: bool) -> None:
        from speechpool.audio.codecs import Codecs  # noqa: PLC0415 - see the class

        codecs = await self._opened.enter_async_context(Codecs())
        if needs_engine:
            await self._open_engine(codecs)
        if self._can_encode():
            from speechpool_azure_emulator.encoding import EncodingSpeaker  # noqa: PLC0415 - see the class

            self.speaker = EncodingSpeaker(self.speaker, codecs)

    @staticmethod
    def _can_encode() -> bool:
        return all(importlib.util.find_spec(module) is not None for module in _ENCODING_NEEDS)

    async def _open_engine(self, codecs: "Codecs") -> None:
        from speechpool.speech.local import create_engine  # noqa: PLC0415 - see the class
        from speechpool_azure_emulator.local_listening import LocalListener  # noqa: PLC0415 - likewise
        from speechpool_azure_emulator.local_speaking import LocalSpeaker  # noqa: PLC0415 - likewise

        engine = create_engine({})
        self._opened.push_async_callback(engine.close)
        await engine.open()
        if self._options.speech == "local":
            self.speaker = LocalSpeaker(engine)
            self._opened.push_async_callback(self.speaker.close)
        if self._options.recognition == "local":
            self.listener = LocalListener(engine, codecs, self._options.grammar)
            self._opened.push_async_callback(self.listener.close)
            await self.listener.open()

    async def close(self) -> None:
        """Release it; safe in every state."""
        await self._opened.aclose()
