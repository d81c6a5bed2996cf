"""The options of the Azure engine: `engines.azure` of the settings file, with what the environment sets."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from speechpool.settings.lists import LANGUAGE_PATTERN
from speechpool.speech.azure.endpoint_options import (
    SECTION,
    EndpointOptions,
    Problems,
    read_endpoints,
)

__all__ = ["AzureOptions", "Proxy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy that connects to endpoints with TLS and without.

    Args:
        host: Its name or address.
        port: Its port.
        username: None where it wants none.
        password: From the variable that `proxyPasswordEnv` names.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureOptions:
    """What can be set; restart to change.

    Args:
        endpoints: Where to connect, at least one: from `endpoints`, or from `AZURE_SPEECH_REGION` and the like.
        voices: `voices`: more names for voices, each for one of Azure's ("receptionist": "en-US-AvaNeural").
        language: `language`: BCP 47 tag of the language whose voices OpenAI's names stand for.
        connect_timeout_seconds: `connectTimeoutSeconds`: longest wait for an open connection, 0.1 to 60.
        keep_connection: `keepConnection`: whether a connection outlives an utterance that is cancelled.
        sdk_first_chunk_timeout_seconds: `sdkFirstChunkTimeoutSeconds`: when the SDK itself gives up waiting for the
            first audio, 1 to 120; behind the sidecar's own `firstChunkTimeoutSeconds`.
        sdk_retries: `sdkRetries`: how often the SDK itself tries a synthesis again, 0 to 3; on the same connection, so
            it helps against none that is dead.
        stop_timeout_seconds: `stopTimeoutSeconds`: how long the SDK waits for the end of a recognition, 1 to 10.
        sdk_threads: `sdkThreads`: most calls into the SDK at once, 4 to 1024; an utterance under way is one.
        recognition_frame_ms: `recognitionFrameMs`: audio in one message to the service, 10 to 200 ms.
        recognition_answer_seconds: `recognitionAnswerSeconds`: longest wait for the service to begin a recognition
            after its first audio, 0.1 to 120.
        recognition_silent_seconds: `recognitionSilentSeconds`: how long a recognition that gets audio may stay without
            any event, 5 to 300; the service ends a segment after at most 33 s.
        recognition_end_seconds: `recognitionEndSeconds`: longest wait for the next event after the end of the audio,
            0.1 to 120.
        commit_seconds: `commitSeconds`: longest wait for the final result of a segment that is committed, 0.1 to 30.
        inline_commit: `inlineCommit`: whether a commit is a message to the service; otherwise, and where the SDK cannot
            send one, it is silence that is written.
        max_buffered_seconds: `maxBufferedSeconds`: most audio that waits for a slow reader, 1 to 600.
        proxy: `proxy`: an HTTP proxy as http://user@host:port; its password is in the variable that
            `proxyPasswordEnv` names.
        properties: `properties`: properties of the SDK by name, set last.
    """

    endpoints: tuple[EndpointOptions, ...]
    voices: Mapping[str, str] = field(default_factory=dict)
    language: str = "en-US"
    connect_timeout_seconds: float = 5.0
    keep_connection: bool = True
    sdk_first_chunk_timeout_seconds: float = 30.0
    sdk_retries: int = 0
    stop_timeout_seconds: int = 1
    sdk_threads: int = 256
    recognition_frame_ms: int = 20
    recognition_answer_seconds: float = 10.0
    recognition_silent_seconds: float = 40.0
    recognition_end_seconds: float = 10.0
    commit_seconds: float = 2.0
    inline_commit: bool = True
    max_buffered_seconds: float = 30.0
    proxy: Proxy | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, options: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> "AzureOptions":
        """Read the section.

        Args:
            options: `engines.azure`, and as `key`, `keyFile`, `region`, `endpoint` and `resourceId` what the
                environment sets.
            environ: Where the variables that `keyEnv` and `proxyPasswordEnv` name are looked up.

        Raises:
            SettingsError: Lists every option that is unknown, of the wrong type or out of bounds.
        """
        problems = Problems()
        options = {name: value for name, value in options.items() if value is not None}
        values: dict[str, Any] = {"endpoints": read_endpoints(options, environ, problems)}
        for name, value in options.items():
            if name in _OPTIONS:
                read, expected = _OPTIONS[name]
                if (found := read(value)) is None:
                    problems.add(name, expected, value)
                values[_python(name)] = found
            elif name not in _ENDPOINT_NAMES | _PROXY_NAMES:
                problems.lines.append(f"{SECTION}.{name} is unknown; known are {', '.join(sorted(_SHOWN))}")
        values["proxy"] = _read_proxy(options, environ, problems)
        problems.finish()
        return cls(**values)


def _read_proxy(options: Mapping[str, Any], environ: Mapping[str, str], problems: Problems) -> Proxy | None:
    url, password_env = options.get("proxy"), options.get("proxyPasswordEnv")
    if url is None:
        if password_env is not None:
            problems.lines.append(f"{SECTION}.proxyPasswordEnv is set without {SECTION}.proxy; set both or none")
        return None
    match = re.fullmatch(r"http://(?:([^@:/\s]{1,128})@)?([A-Za-z0-9._-]{1,253}):([0-9]{1,5})/?", str(url))
    if not match or not 1 <= int(match[3]) <= 65535:
        problems.lines.append(
            f"{SECTION}.proxy must be http://host:port or http://user@host:port; its password belongs into a variable, "
            "which proxyPasswordEnv names"
        )
        return None
    password = None
    if password_env is not None and not (password := environ.get(str(password_env), "").strip()):
        problems.lines.append(f"{SECTION}.proxyPasswordEnv names {password_env!r}, which is not set; set it")
    return Proxy(host=match[2], port=int(match[3]), username=match[1], password=password or None)


# --- what values may be: each reader gives the value, or None where it is not allowed ---

Reader = Callable[[object], Any]


def _number(minimum: float, maximum: float) -> tuple[Reader, str]:
    def read(value: object) -> float | None:
        good = isinstance(value, int | float) and not isinstance(value, bool) and minimum <= value <= maximum
        return float(value) if good else None  # type: ignore[arg-type] # good says that it is a number

    return read, f"a number from {minimum:g} to {maximum:g}"


def _integer(minimum: int, maximum: int) -> tuple[Reader, str]:
    def read(value: object) -> int | None:
        good = isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum
        return value if good else None  # type: ignore[return-value] # good says that it is an int

    return read, f"a whole number from {minimum} to {maximum}"


def _switch(value: object) -> bool | None:
    return {"Enabled": True, "Disabled": False}.get(value) if isinstance(value, str) else None


def _language(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(LANGUAGE_PATTERN, value) else None


def _texts(value: object) -> Mapping[str, str] | None:
    good = isinstance(value, Mapping) and all(isinstance(one, str) and one for pair in value.items() for one in pair)
    return value if good else None  # type: ignore[return-value] # good says that it is a mapping


_OPTIONS: dict[str, tuple[Reader, str]] = {
    "voices": (_texts, "a mapping from a voice's other name to Azure's own"),
    "language": (_language, "a language tag such as en-US"),
    "connectTimeoutSeconds": _number(0.1, 60),
    "keepConnection": (_switch, "Enabled or Disabled"),
    "sdkFirstChunkTimeoutSeconds": _number(1, 120),
    "sdkRetries": _integer(0, 3),
    "stopTimeoutSeconds": _integer(1, 10),
    "sdkThreads": _integer(4, 1024),
    "recognitionFrameMs": _integer(10, 200),
    "recognitionAnswerSeconds": _number(0.1, 120),
    "recognitionSilentSeconds": _number(5, 300),
    "recognitionEndSeconds": _number(0.1, 120),
    "commitSeconds": _number(0.1, 30),
    "inlineCommit": (_switch, "Enabled or Disabled"),
    "maxBufferedSeconds": _number(1, 600),
    "properties": (_texts, "a mapping from the names of the SDK's properties to texts"),
}
_ENDPOINT_NAMES = frozenset({"key", "keyFile", "region", "endpoint", "resourceId", "paths", "endpoints"})
_PROXY_NAMES = frozenset({"proxy", "proxyPasswordEnv"})
_SHOWN = (set(_OPTIONS) | _ENDPOINT_NAMES | _PROXY_NAMES) - {"key"}  # a key is no option of a file


def _python(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: "_" + found[1].lower(), name)
