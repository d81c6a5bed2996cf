"""What of Azure's SDK both kinds of clients need: its configuration, and its connections.

The SDK reads a configuration when a client is made; later changes to it do nothing.
"""

import atexit
import weakref
from collections.abc import Callable, Mapping
from typing import Protocol

import azure.cognitiveservices.speech as sdk

from speechpool.speech.azure.bridge import Bridge
from speechpool.speech.azure.credentials import Credential
from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.options import AzureOptions

__all__ = ["SdkConnection", "authorize", "hush_at_exit", "speech_config"]


def speech_config(
    endpoint: Endpoint,
    credential: Credential,
    options: AzureOptions,
    *,
    properties: Mapping[str, str],
    version: str = "v1",
) -> sdk.SpeechConfig:
    """The SDK's configuration for clients of one endpoint; cheap, but it calls the SDK.

    Args:
        endpoint: Where they connect to.
        credential: What they show there.
        options: The engine's; their `properties` come last.
        properties: Of the SDK's, by name; those that it does not know do nothing.
        version: The protocol of synthesis: "v1" for whole texts, "v2" for text that comes in pieces.
    """
    config = _config(endpoint.sdk_arguments(version=version), credential)
    proxy = options.proxy
    if proxy and proxy.serves(endpoint.place.upgrade_url(endpoint.work, version=version)):
        config.set_proxy(proxy.host, proxy.port, proxy.username, proxy.password)
    for name, value in {**properties, **options.properties}.items():
        config.set_property_by_name(name, value)
    return config


def _config(place: Mapping[str, str], credential: Credential) -> sdk.SpeechConfig:
    if credential.kind == "key":
        return sdk.SpeechConfig(**place, subscription=credential.secret)
    if credential.kind == "token" and "region" in place:
        return sdk.SpeechConfig(**place, auth_token=credential.secret)
    config = sdk.SpeechConfig(**place)
    if credential.kind == "token":
        config.authorization_token = credential.secret  # a host or an endpoint takes it only afterwards
    return config


def authorize(client: sdk.SpeechSynthesizer | sdk.Recognizer, credential: Credential) -> None:
    """Have a living client of the SDK's show a renewed token at its next connection; the one that is open goes on."""
    client.authorization_token = credential.secret


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


class Hushable(Protocol):
    """A client of the SDK's that can be made to call nobody any more."""

    def hush(self) -> None:
        """Disconnect everything that the SDK calls; quick, from any thread, also when released."""


_LIVING: weakref.WeakSet[Hushable] = weakref.WeakSet()


def hush_at_exit(client: Hushable) -> None:
    """Disconnect what the SDK calls before the interpreter ends, in case nobody releases the client until then.

    An event that comes while the interpreter ends aborts the process (exit code -6, "exception not rethrown").
    """
    _LIVING.add(client)


@atexit.register
def _hush_all() -> None:
    for client in list(_LIVING):
        client.hush()
