"""Which speaker and which listener the options ask for, and what both need."""

from speechpool.audio.codecs import Codecs
from speechpool.speech.engine import Engine
from speechpool.speech.local import create_engine
from speechpool_azure_emulator.encoding import EncodingSpeaker
from speechpool_azure_emulator.listening import ScriptedListener
from speechpool_azure_emulator.local_listening import LocalListener
from speechpool_azure_emulator.local_speaking import LocalSpeaker
from speechpool_azure_emulator.options import EmulatorOptions
from speechpool_azure_emulator.speaking import TonesSpeaker
from speechpool_azure_emulator.state import Listener, Speaker

__all__ = ["Engines"]


class Engines:
    """The speaker and the listener.

    Args:
        options: Say which.
        script: The listener for scripted recognition.
    """

    def __init__(self, options: EmulatorOptions, script: ScriptedListener) -> None:
        self._codecs = Codecs()
        needs_engine = "local" in (options.speech, options.recognition)
        self._engine: Engine | None = create_engine({}) if needs_engine else None
        inner = LocalSpeaker(self._engine) if self._engine and options.speech == "local" else TonesSpeaker()
        self.speaker: Speaker = EncodingSpeaker(inner, self._codecs)
        self.listener: Listener = script
        if self._engine and options.recognition == "local":
            self.listener = LocalListener(self._engine, self._codecs, options.grammar)

    async def open(self) -> None:
        """Load what they need.

        Raises:
            EngineUnavailable: The local engine cannot be used, with what to install.
        """
        if self._engine:
            await self._engine.open()
        await self.speaker.open()
        await self.listener.open()

    async def close(self) -> None:
        """Release it; safe in every state."""
        await self.listener.close()
        await self.speaker.close()
        await self._codecs.close()
        if self._engine:
            await self._engine.close()
