"""Stands in for Azure while the Secret is missing that has its key, and with it perhaps the place to connect to.

A pod's variables are those of the Secret as it was when the container started. So the sidecar is up while there is
none, says what is missing, and ends when the Secret has come, for whoever started it to start it again with all of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.speech.azure.engine import CAPABILITIES
from speechpool.speech.engine import (
    EngineCapabilities,
    Measurement,
    RecognitionProfile,
    StaleCallback,
    SynthesisProfile,
    Voice,
)

__all__ = ["AwaitingSecret", "missing_key_file"]

_PLACES = ("endpoint", "region", "endpoints")


def missing_key_file(options: Mapping[str, Any]) -> Path | None:
    """The file with the key, where it is not there and nothing says where to connect; else None.

    Args:
        options: As the engine gets them.
    """
    named = options.get("keyFile")
    if not isinstance(named, str) or any(options.get(name) is not None for name in _PLACES):
        return None
    path = Path(named)
    return path if path.is_absolute() and not path.exists() else None


class AwaitingSecret:
    """An engine that cannot make a client.

    Args:
        path: The file that is missing.
    """

    name = "azure"

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def capabilities(self) -> EngineCapabilities:
        """What Azure can do."""
        return CAPABILITIES

    @property
    def voices(self) -> Sequence[Voice]:
        """None."""
        return ()

    @property
    def problem(self) -> str:
        """What is missing."""
        return (
            f"AZURE_SPEECH_KEY_FILE: {self._path}: there is no such file; mount the Secret, or correct the path. "
            "Neither AZURE_SPEECH_REGION nor AZURE_SPEECH_ENDPOINT is set: put it into the same Secret, or set it"
        )

    def on_stale(self, callback: StaleCallback) -> None:
        """No client is ever made, so that none gets stale."""

    def measurements(self) -> Sequence[Measurement]:
        """Nothing."""
        return ()

    def resolve_voice(self, name: str) -> str:
        """The same name."""
        return name

    async def open(self) -> None:
        """Fail.

        Raises:
            EngineUnavailable: The file is still missing.
            SettingsError: It has come: the sidecar must be started again to know the place.
        """
        if self._path.exists():
            raise SettingsError(
                f"AZURE_SPEECH_KEY_FILE: {self._path} has come, and this process does not know where to connect: start "
                "it again, with AZURE_SPEECH_REGION or AZURE_SPEECH_ENDPOINT"
            )
        self._fail()

    async def create_synthesizer(self, _profile: SynthesisProfile) -> NoReturn:
        """Raise EngineUnavailable."""
        self._fail()

    async def create_recognizer(self, _profile: RecognitionProfile) -> NoReturn:
        """Raise EngineUnavailable."""
        self._fail()

    async def close(self) -> None:
        """Nothing was opened."""

    def _fail(self) -> NoReturn:
        raise EngineUnavailable(self.problem)
