"""Stands in for Azure while the Secret is missing, or names no place to connect to, or one that cannot be.

A pod's variables are those of the Secret as it was when the container started. So the sidecar is up meanwhile, says
what is wrong, and ends when the Secret says something else, for whoever started it to start it again with all of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.speech.azure.engine import CAPABILITIES
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.engine import (
    EngineCapabilities,
    Measurement,
    RecognitionProfile,
    StaleCallback,
    SynthesisProfile,
    Voice,
)

__all__ = ["AwaitingSecret", "awaiting"]

_PLACES: Final = {"region": "AZURE_SPEECH_REGION", "endpoint": "AZURE_SPEECH_ENDPOINT"}
"""What an engine may get from a Secret beside the key, and the Secret's entries for it."""

_MOUNTED: Final = "..data"
"""The link that the kubelet changes to change all files of a volume at once."""


def awaiting(options: Mapping[str, Any], refusal: SettingsError) -> "AwaitingSecret | None":
    """What stands in for an engine whose options were refused, where another content of its Secret can mend it.

    Args:
        options: As the engine gets them.
        refusal: What is wrong with them.
    """
    if not (rest := _all_but_the_place(options)):
        return None
    credential, held = rest.endpoints[0].credential, {name: options.get(name) for name in _PLACES}
    key = Path(credential.key_file) if credential.key_file else None
    if not key and not credential.resource_id:
        return None
    directory = key.parent if key else Path(rest.credentials_directory)
    if key and not key.exists() and not any(held.values()):
        problem = (
            f"AZURE_SPEECH_KEY_FILE: {key}: there is no such file; mount the Secret, or correct the path. "
            "Neither AZURE_SPEECH_REGION nor AZURE_SPEECH_ENDPOINT is set: put it into the same Secret, or set it"
        )
    elif (directory / _MOUNTED).is_symlink():
        problem = f"{refusal}. Correct it in the Secret that is mounted at {directory}, or where the pod is made"
    else:
        return None
    made = AwaitingSecret(directory, key, held, problem)
    # one that is newer than the variables must be read by another process at once
    return None if made.is_over else made


def _all_but_the_place(options: Mapping[str, Any]) -> AzureOptions | None:
    """The options, as if they named a place; None where something else is wrong, too."""
    if options.get("endpoints") is not None:
        return None
    try:
        return AzureOptions.parse({**options, "endpoint": None, "region": "westeurope"})
    except SettingsError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


class AwaitingSecret:
    """An engine that cannot make a client.

    Args:
        directory: Where the Secret is mounted.
        key: The file with the key in it; None for Microsoft Entra ID.
        held: The places to connect to that this process knows.
        problem: What is wrong.
    """

    name = "azure"

    def __init__(self, directory: Path, key: Path | None, held: Mapping[str, Any], problem: str) -> None:
        self._directory = directory
        self._awaited_key = None if key is None or key.exists() else key
        self._held = held
        self.problem = problem
        """What is wrong."""

    @property
    def is_over(self) -> bool:
        """Whether the Secret says now what this process does not know."""
        found = {name: _text(self._directory / entry) for name, entry in _PLACES.items()}
        has_come = self._awaited_key is not None and self._awaited_key.exists()
        return has_come or any(text is not None and text != self._held[name] for name, text in found.items())

    @property
    def capabilities(self) -> EngineCapabilities:
        """What Azure can do."""
        return CAPABILITIES

    @property
    def voices(self) -> Sequence[Voice]:
        """None."""
        return ()

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
            EngineUnavailable: Nothing has changed.
            SettingsError: The Secret has: the sidecar must be started again to know the place.
        """
        if self.is_over:
            raise SettingsError(
                f"the Secret at {self._directory} has come or has changed, and this process does not know where to "
                "connect: start it again, with AZURE_SPEECH_REGION or AZURE_SPEECH_ENDPOINT"
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
