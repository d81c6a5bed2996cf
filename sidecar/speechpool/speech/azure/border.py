"""What of Azure's SDK both kinds of clients need: its configuration, and its connections.

The SDK reads a configuration when a client is made; later changes to it do nothing.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

import azure.cognitiveservices.speech as sdk

from speechpool.speech.azure.bridge import Bridge
from speechpool.speech.azure.failures import Work

__all__ = ["Address", "ApiVersion", "Proof", "SdkConnection", "authorize", "speech_config"]

_RESOURCE_HOSTS = (".cognitiveservices.azure.com", ".cognitiveservices.azure.us", ".cognitiveservices.azure.cn")
"""Custom domains of a resource, as private links need them; the paths below them begin with the kind of work."""

_SOVEREIGN_DOMAINS = {"china": "azure.cn", "usgov": "azure.us", "usdod": "azure.us"}
"""Where the regions with these prefixes live; all others are at microsoft.com."""

_PATHS = {Work.SYNTHESIS: "/tts", Work.RECOGNITION: "/stt"}


class ApiVersion(StrEnum):
    """Version of the synthesis protocol: v1 takes whole texts, v2 takes text piece by piece."""

    V1 = "v1"
    V2 = "v2"


class Address(Protocol):
    """Where a speech service is: in a region, or at a URL."""

    @property
    def region(self) -> str | None:
        """Azure's name of the region, "westeurope"; None where there is a URL."""

    @property
    def url(self) -> str | None:
        """ws, wss, http or https; None where there is a region."""


class Proof(Protocol):
    """What is shown to the service at the beginning of a connection."""

    @property
    def kind(self) -> str:
        """What `secret` is: "key", "token" or "none"."""

    @property
    def secret(self) -> str:
        """The key or the token."""


def speech_config(
    address: Address, proof: Proof, work: Work, *, version: ApiVersion = ApiVersion.V1, properties: Mapping[str, str]
) -> sdk.SpeechConfig:
    """The SDK's configuration for clients of one endpoint.

    Args:
        address: Where they connect to.
        proof: What they show there.
        work: What they are for.
        version: For synthesis.
        properties: Of the SDK's, by name; unknown ones do nothing.
    """
    config = _config(_place(address, work, version), proof)
    for name, value in properties.items():
        config.set_property_by_name(name, value)
    return config


def authorize(client: sdk.SpeechSynthesizer | sdk.Recognizer, proof: Proof) -> None:
    """Have a living client of the SDK's show a renewed token at its next connection; the one that is open goes on."""
    client.authorization_token = proof.secret


def _config(place: Mapping[str, str], proof: Proof) -> sdk.SpeechConfig:
    if proof.kind == "key":
        return sdk.SpeechConfig(**place, subscription=proof.secret)
    if proof.kind == "token" and "region" in place:
        return sdk.SpeechConfig(**place, auth_token=proof.secret)
    config = sdk.SpeechConfig(**place)
    if proof.kind == "token":
        config.authorization_token = proof.secret  # a host or an endpoint takes it only afterwards
    return config


def _place(address: Address, work: Work, version: ApiVersion) -> dict[str, str]:
    """`region`, `host` or `endpoint` of a `SpeechConfig`."""
    if address.region:
        if version is ApiVersion.V2:
            return {"endpoint": f"wss://{address.region}.tts.speech.{_domain(address.region)}{_path(work, version)}"}
        return {"region": address.region}
    url = urlsplit(address.url or "")
    if not url.path.strip("/") and not _is_resource(url) and version is ApiVersion.V1:
        return {"host": f"{url.scheme}://{url.netloc}"}
    prefix = url.path.rstrip("/") or (_PATHS[work] if _is_resource(url) else "")
    return {"endpoint": f"{url.scheme}://{url.netloc}{prefix}{_path(work, version)}"}


def _path(work: Work, version: ApiVersion) -> str:
    if work is Work.SYNTHESIS:
        return f"/cognitiveservices/websocket/{version}"
    return "/speech/universal/v2"


def _domain(region: str) -> str:
    return next((domain for prefix, domain in _SOVEREIGN_DOMAINS.items() if region.startswith(prefix)), "microsoft.com")


def _is_resource(url: SplitResult) -> bool:
    return (url.hostname or "").endswith(_RESOURCE_HOSTS)


class SdkConnection:
    """The connection of one client of the SDK's, with its events on the loop.

    Args:
        connection: The SDK's own `Connection`.
        bridge: The way to the loop.
        connected: Called on the loop each time it is open.
        disconnected: Called on the loop each time it is lost, by whatever end.
    """

    def __init__(
        self,
        connection: sdk.Connection,
        bridge: Bridge,
        *,
        connected: Callable[[], None],
        disconnected: Callable[[], None],
    ) -> None:
        self._connection: sdk.Connection | None = connection
        bridge.connect(connection.connected, _nothing, lambda _: connected())
        bridge.connect(connection.disconnected, _nothing, lambda _: disconnected())

    def open(self) -> None:
        """Begin to open it; `connected` tells when it is. A refusal is told by nobody. Nothing once released."""
        if self._connection is not None:
            self._connection.open(True)  # False would tie a recogniser to one phrase

    def release(self) -> None:
        """Hear no more of it, and let go of it; blocks. Before its client is released, never after."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.connected.disconnect_all()
            connection.disconnected.disconnect_all()


def _nothing(_: object) -> None:
    """Of these events only the fact is wanted."""
