"""Where a speech service is: a region of Azure, a resource's own address, or a container. Pure.

The SDK takes a region, an endpoint or a host, and each makes other paths of it:

| what the user has | what the SDK gets | synthesis | recognition |
| --- | --- | --- | --- |
| a public region | region | the SDK's own choice | the SDK's own choice |
| a sovereign region | host | /cognitiveservices/websocket/v1 | /speech/recognition/... |
| a custom domain, a private link | endpoint | /tts/cognitiveservices/websocket/v1 | /stt/speech/universal/v2 |
| a container | host | /cognitiveservices/websocket/v1 | /speech/recognition/... |
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from speechpool.errors import SettingsError
from speechpool.speech.azure.failures import Work

__all__ = ["REGION_PATTERN", "Place", "place_of"]

REGION_PATTERN = r"[a-z][a-z0-9]{1,49}"
"""The names of regions: "westeurope", "usgovvirginia", "chinaeast2"."""

MAX_URL_CHARACTERS = 512
"""A guess far above any address in use."""


_PREFIXES = {Work.SYNTHESIS: "tts", Work.RECOGNITION: "stt"}
"""How Azure abbreviates its services in hosts and paths."""

_SYNTHESIS_PATH = "/cognitiveservices/websocket/"
_RECOGNITION_PATH = "/speech/universal/v2"
_VOICES_PATH = "/cognitiveservices/voices/list"

# A service's own path at the end of an address: what stands before it is the address of both services.
_SERVICE_PATH = re.compile(
    r"(?P<prefix>/tts|/stt)?"
    r"(/cognitiveservices/websocket/v[12]|/cognitiveservices/v1|/cognitiveservices/voices/list"
    r"|/speech/universal/v2|/speech/recognition/(interactive|conversation|dictation)/cognitiveservices/v1)$"
)

# Hosts that Azure's portal and documents show for a region.
_REGION_HOST = re.compile(
    rf"(?P<region>{REGION_PATTERN})\."
    r"(api\.cognitive\.(microsoft\.com|microsoft\.us|azure\.cn)|(tts|stt)\.speech\.(microsoft\.com|azure\.us|azure\.cn))"
)

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place that serves.

    Args:
        name: For people, metrics and logs: the region, or the host with its port.
        region: The region's name, or None.
        url: Scheme, host, port and the path before a service's own, or None for a region.
        is_container: Whether the paths are those of a container.
    """

    name: str
    region: str | None = None
    url: str | None = None
    is_container: bool = False

    @property
    def cloud(self) -> str:
        """The domain of the cloud it belongs to: "microsoft.com", "azure.us" or "azure.cn"."""
        if self.region is not None:
            return _domain(self.region)
        host = urlsplit(self.url or "").hostname or ""
        return next((domain for domain in ("azure.us", "azure.cn") if host.endswith(f".{domain}")), "microsoft.com")

    def sdk_arguments(self, work: Work, *, version: str = "v1") -> dict[str, str]:
        """The keyword arguments that tell `SpeechConfig` where to connect; credentials are not among them.

        Args:
            work: What the client is for.
            version: The protocol of synthesis: "v1" for whole texts, "v2" for text that comes in pieces.
        """
        if work is Work.SYNTHESIS and version != "v1":
            return {"endpoint": self.upgrade_url(work, version=version)}
        if self.region is not None and not _is_sovereign(self.region):
            return {"region": self.region}
        base = self._base(work)
        if urlsplit(base).path:
            return {"endpoint": self.upgrade_url(work)}
        # An endpoint without a path: the SDK completes it, and tells the service the mode of recognition.
        return {"host" if self.region or self.is_container else "endpoint": base}

    def upgrade_url(self, work: Work, *, version: str = "v1") -> str:
        """Where the WebSocket of a service is opened, as ws or wss."""
        path = f"{_SYNTHESIS_PATH}{version}" if work is Work.SYNTHESIS else _RECOGNITION_PATH
        if self.is_container and work is Work.RECOGNITION:
            path = "/speech/recognition/conversation/cognitiveservices/v1"
        return self._base(work) + self._prefix(work) + path

    def voices_url(self) -> str:
        """Where the list of voices is, as http or https."""
        url = self._base(Work.SYNTHESIS) + self._prefix(Work.SYNTHESIS) + _VOICES_PATH
        return "http" + url.removeprefix("ws")

    def _base(self, work: Work) -> str:
        if self.region is not None:
            return f"wss://{self.region}.{_PREFIXES[work]}.speech.{_domain(self.region)}"
        return self.url or ""

    def _prefix(self, work: Work) -> str:
        return "" if self.region is not None or self.is_container else f"/{_PREFIXES[work]}"


def place_of(text: str, *, container: bool | None = None) -> Place:
    """The place that a region's name or a URL says.

    The addresses that Azure's portal shows for a region stand for the region. A path that ends in a service's own path
    stands for what is before it, so that one address serves both ways.

    Args:
        text: A region's name, or a URL with ws, wss, http or https.
        container: Whether its paths are a container's; None to tell by the scheme: Azure's own addresses have TLS.

    Raises:
        SettingsError: It is neither; the message says what is wrong, and does not name the setting.
    """
    if "://" not in text:
        if not re.fullmatch(REGION_PATTERN, text):
            raise SettingsError(f"must be the name of an Azure region, as westeurope; got {text[:80]!r}")
        return Place(name=text, region=text)
    return _of_url(text, container)


def _of_url(text: str, container: bool | None) -> Place:
    expected = "must be a URL as https://my-resource.cognitiveservices.azure.com or ws://speech-container:5000"
    if len(text) > MAX_URL_CHARACTERS or not re.fullmatch(r"[!-~]+", text):
        raise SettingsError(f"{expected}, of at most {MAX_URL_CHARACTERS} printable ASCII characters without spaces")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SettingsError(f"{expected}; it is no URL: {error}") from None
    if parts.username or parts.password:
        raise SettingsError(f"{expected}, without a user or password in it")
    if parts.scheme.lower() not in {"ws", "wss", "http", "https"} or not _HOST.fullmatch(host):
        raise SettingsError(f"{expected}; got {text[:80]!r}")
    if parts.query or parts.fragment:
        raise SettingsError(f"{expected}, without a query (?) or a fragment (#); got {text[:80]!r}")
    region = _REGION_HOST.fullmatch(host.lower())
    if region and container is not True:
        return Place(name=region["region"], region=region["region"])
    return _own_address(parts.scheme.lower(), host, port, parts.path, container)


def _own_address(scheme: str, host: str, port: int | None, path: str, container: bool | None) -> Place:
    authority = f"[{host}]" if ":" in host else host
    authority += f":{port}" if port is not None else ""
    plain = scheme in {"ws", "http"}
    ending = _SERVICE_PATH.search(path.rstrip("/"))
    if container is None:
        container = not ending["prefix"] if ending else plain
    before = (path.rstrip("/")[: ending.start()] if ending else path).rstrip("/")
    return Place(name=authority, url=f"{'ws' if plain else 'wss'}://{authority}{before}", is_container=container)


def _is_sovereign(region: str) -> bool:
    return _domain(region) != "microsoft.com"


def _domain(region: str) -> str:
    """The domain of a region's hosts (Microsoft Learn, "Speech service in sovereign clouds")."""
    if region.startswith("china"):
        return "azure.cn"
    return "azure.us" if region.startswith("usgov") else "microsoft.com"
