"""What the tests of the sidecar with Azure share: the real process, its Azure an emulator in a thread of the test."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, eventually, running_sidecar
from tests.integration.talk import Talk
from websockets.asyncio.client import unix_connect

__all__ = [
    "KEY",
    "TEXT",
    "Talk",
    "ask",
    "azure_sidecar",
    "footprint",
    "http",
    "in_order",
    "settings_file",
    "speech_pool",
    "talking",
]

KEY = "0123456789abcdef0123456789abcdef"
TEXT = "Hello there, my good friend."
_PATIENT = {"azure": {"connectTimeoutSeconds": PATIENCE_SECONDS, "sdkFirstChunkTimeoutSeconds": PATIENCE_SECONDS}}
"""Why a connection does not open is known before a deadline is over, however late the machine is."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default loads certificates, which takes longer than a request


def speech_pool(name: str = "tts", **settings: Any) -> dict[str, Any]:
    """One pool of the settings file."""
    return {"name": name, "kind": "TextToSpeech", **settings}


def settings_file(*pools: Mapping[str, Any], **config: Any) -> dict[str, Any]:
    """A settings file with these pools, where there are any, and whatever else there is to set."""
    return {"engines": _PATIENT, **config, **({"pools": list(pools)} if pools else {})}


@contextlib.contextmanager
def azure_sidecar(
    directory: Path,
    url: str,
    *pools: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
    ready: bool = True,
    **config: Any,
) -> Iterator[Sidecar]:
    """A sidecar whose Azure is at `url` and may be slow; `config` is more of its settings file."""
    variables = {"SPEECHPOOL_ENGINE": "azure", "AZURE_SPEECH_ENDPOINT": url, **(env or {"AZURE_SPEECH_KEY": KEY})}
    with running_sidecar(directory, env=variables, config=settings_file(*pools, **config), ready=ready) as sidecar:
        yield sidecar


def ask(sidecar: Sidecar, text: str = TEXT, **fields: Any) -> httpx.Response:
    """One utterance over HTTP, as raw PCM where nothing else is said, with its whole body."""
    with http(sidecar) as client:
        return client.post("/v1/audio/speech", json={"input": text, "response_format": "pcm", **fields})


def http(sidecar: Sidecar) -> httpx.Client:
    """A client of the sidecar's socket."""
    transport = httpx.HTTPTransport(uds=str(sidecar.socket), verify=_NO_TLS)
    return httpx.Client(transport=transport, base_url="http://speechpool", timeout=PATIENCE_SECONDS, trust_env=False)


def in_order(sidecar: Sidecar) -> None:
    """Wait until it is ready, and every pool warm and idle."""
    with http(sidecar) as client:
        eventually(lambda: client.get("/readyz").status_code == 200)
    sidecar.settled()


def footprint(sidecar: Sidecar) -> dict[str, int]:
    """Threads, sockets and file descriptors of the process."""
    links = [_link(path) for path in Path(f"/proc/{sidecar.pid}/fd").iterdir()]
    return {
        "threads": len(list(Path(f"/proc/{sidecar.pid}/task").iterdir())),
        "sockets": sum(link.startswith("socket:") for link in links),
        "descriptors": len(links),
    }


def _link(path: Path) -> str:
    with contextlib.suppress(OSError):
        return str(path.readlink())
    return ""


@contextlib.asynccontextmanager
async def talking(sidecar: Sidecar, path: str = "/v1/speech/stream") -> AsyncIterator[Talk]:
    """A WebSocket of the sidecar."""
    async with unix_connect(str(sidecar.socket), f"ws://speechpool{path}", max_size=None) as socket:
        yield Talk(socket)
