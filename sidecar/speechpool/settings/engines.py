"""The settings of the whole sidecar that say which engine speaks, and where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speechpool.settings.kinds import Secret, Text
from speechpool.settings.knobs import Effect, knob
from speechpool.settings.lists import EngineOptions
from speechpool.settings.places import FilePath

__all__ = ["EngineSettings"]

CREDENTIALS_DIRECTORY = "/var/run/secrets/speechpool-credentials"
"""Where an injected pod has the Secret with what its engine needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine's part of `Settings`. Each field's meaning is its knob's `doc`."""

    engine: str = knob(
        key="engine",
        env="SPEECHPOOL_ENGINE",
        kind=Text("an engine's name, as local or azure (1 to 32 of a-z, 0-9, _ and -)", r"[a-z][a-z0-9_-]{0,31}", 32),
        default="local",
        effect=Effect.RESTART,
        doc="The speech engine.",
        default_doc="azure where its place and credentials are set, else local",
    )
    engines: Mapping[str, Mapping[str, Any]] = knob(
        key="engines",
        kind=EngineOptions(),
        default={},
        effect=Effect.RESTART,
        doc="Options of each engine, by its name; the engine judges them.",
    )
    azure_speech_key: str | None = knob(
        key="azureSpeechKey",
        env="AZURE_SPEECH_KEY",
        kind=Secret(8, 512),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        secret=True,
        doc="Key of the Azure Speech resource.",
    )
    azure_speech_key_file: str | None = knob(
        key="azureSpeechKeyFile",
        env="AZURE_SPEECH_KEY_FILE",
        kind=FilePath(),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        doc="File that holds the key, in place of the variable; watched, and a new key is used when it changes.",
    )
    azure_speech_resource_id: str | None = knob(
        key="azureSpeechResourceId",
        env="AZURE_SPEECH_RESOURCE_ID",
        kind=Text(
            "the resource's id in Azure, as /subscriptions/…/accounts/… (at most 512 characters)", r"/[!-~]{1,511}", 512
        ),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        doc="Azure Speech resource that is used with Microsoft Entra ID, in place of a key.",
    )
    azure_speech_credentials_directory: str | None = knob(
        key="azureSpeechCredentialsDirectory",
        env="AZURE_SPEECH_CREDENTIALS_DIR",
        kind=FilePath(),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        default_doc=CREDENTIALS_DIRECTORY,
        doc="Directory where the Secret is mounted that brings region or endpoint, for Microsoft Entra ID: while it "
        "names none, the sidecar waits for it.",
    )
    azure_speech_region: str | None = knob(
        key="azureSpeechRegion",
        env="AZURE_SPEECH_REGION",
        kind=Text("the name of an Azure region, as westeurope", r"[a-z][a-z0-9]{1,49}", 50),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        doc="Region of the Azure Speech resource.",
    )
    azure_speech_endpoint: str | None = knob(
        key="azureSpeechEndpoint",
        env="AZURE_SPEECH_ENDPOINT",
        kind=Text("a URL that starts with https://, wss://, http:// or ws://", r"(https?|wss?)://[^\s@?#]{1,500}", 508),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        doc="Endpoint of the Azure Speech resource or container, in place of a region.",
    )
