"""The options of the Azure engine: `engines.azure` of the settings file, with what the environment sets."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from speechpool.settings.engines import CREDENTIALS_DIRECTORY
from speechpool.settings.lists import LANGUAGE_PATTERN
from speechpool.speech.azure.endpoint_options import (
    SECTION,
    EndpointOptions,
    Problems,
    read_endpoints,
)
from speechpool.speech.azure.proxies import FORM, Proxy, environment_proxy

__all__ = ["OPTIONS", "AzureOptions", "Option", "option_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureOptions:
    """What can be set; restart to change. `OPTIONS` describes all but where to connect and through which proxy.

    Args:
        endpoints: Where to connect, at least one: from `endpoints`, or from `AZURE_SPEECH_REGION` and the like.
        proxy: `proxy`: an HTTP proxy as http://user@host:port; its password is in the variable that
            `proxyPasswordEnv` names. Without it, that of the environment.
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
    credentials_directory: str = CREDENTIALS_DIRECTORY

    @classmethod
    def parse(cls, options: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> "AzureOptions":
        """Read the section.

        Args:
            options: `engines.azure`, and as `key`, `keyFile`, `region`, `endpoint`, `resourceId` and
                `credentialsDirectory` what the environment sets.
            environ: Where the variables that `keyEnv` and `proxyPasswordEnv` name are looked up, and `HTTPS_PROXY`.

        Raises:
            SettingsError: Lists every option that is unknown, of the wrong type or out of bounds.
        """
        problems = Problems()
        options = {name: value for name, value in options.items() if value is not None}
        values: dict[str, Any] = {"endpoints": read_endpoints(options, environ, problems)}
        for name, value in options.items():
            if option := OPTIONS.get(name):
                if (found := option.read(value)) is None:
                    problems.add(name, option.expected, value)
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
        return _of_environment(environ, problems)
    match = FORM.fullmatch(str(url))
    if not match or match["password"] is not None or not 1 <= int(match["port"]) <= 65535:
        problems.lines.append(
            f"{SECTION}.proxy must be http://host:port or http://user@host:port; its password belongs into a variable, "
            "which proxyPasswordEnv names"
        )
        return None
    password = None
    if password_env is not None and not (password := environ.get(str(password_env), "").strip()):
        problems.lines.append(f"{SECTION}.proxyPasswordEnv names {password_env!r}, which is not set; set it")
    return Proxy(host=match["host"], port=int(match["port"]), username=match["user"], password=password or None)


def _of_environment(environ: Mapping[str, str], problems: Problems) -> Proxy | None:
    try:
        return environment_proxy(environ)
    except ValueError as error:  # its value is not shown: a password may be in it
        problems.lines.append(f"{error}. Correct it, or set {SECTION}.proxy")
        return None


# --- what values may be ---

Reader = Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Args:
        read: Gives the value, or None where it is not allowed.
        expected: What is allowed, as it follows "must be".
        doc: What it is for, in a sentence.
    """

    read: Reader
    expected: str
    doc: str


def _number(minimum: float, maximum: float, doc: str) -> Option:
    def read(value: object) -> float | None:
        good = isinstance(value, int | float) and not isinstance(value, bool) and minimum <= value <= maximum
        return float(value) if good else None  # type: ignore[arg-type] # good says that it is a number

    return Option(read, f"a number from {minimum:g} to {maximum:g}", doc)


def _integer(minimum: int, maximum: int, doc: str) -> Option:
    def read(value: object) -> int | None:
        good = isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum
        return value if good else None  # type: ignore[return-value] # good says that it is an int

    return Option(read, f"a whole number from {minimum} to {maximum}", doc)


def _switch(doc: str) -> Option:
    words = {"Enabled": True, "Disabled": False}
    return Option(lambda value: words.get(value) if isinstance(value, str) else None, "Enabled or Disabled", doc)


def _language(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(LANGUAGE_PATTERN, value) else None


def _directory(value: object) -> str | None:
    return value if isinstance(value, str) and value.startswith("/") else None


def _texts(value: object) -> Mapping[str, str] | None:
    good = isinstance(value, Mapping) and all(isinstance(one, str) and one for pair in value.items() for one in pair)
    return value if good else None  # type: ignore[return-value] # good says that it is a mapping


OPTIONS: dict[str, Option] = {
    "language": Option(
        _language,
        "a language tag such as en-US",
        "Language whose voices OpenAI's names stand for; without it, that of `defaultLanguage` at the start.",
    ),
    "voices": Option(
        _texts, "a mapping from a voice's other name to Azure's own", "More names for voices; they win over OpenAI's."
    ),
    "connectTimeoutSeconds": _number(
        0.1, 60, "Longest wait for an open connection, the reason why none opens included."
    ),
    "keepConnection": _switch("Whether a connection outlives an utterance that is cancelled."),
    "sdkFirstChunkTimeoutSeconds": _number(
        1, 120, "When the SDK itself gives up waiting for the first audio; behind `firstChunkTimeoutSeconds`."
    ),
    "sdkRetries": _integer(
        0, 3, "How often the SDK itself tries a synthesis again; on the same client, after the sidecar could have."
    ),
    "maxBufferedSeconds": _number(1, 600, "Most audio that waits for a slow reader; then the client waits too."),
    "recognitionFrameMs": _integer(
        10, 200, "Audio in one message to Azure, in milliseconds; less is sooner understood."
    ),
    "recognitionAnswerSeconds": _number(
        0.1, 120, "Longest wait for Azure to begin a recognition, from its first audio on."
    ),
    "recognitionSilentSeconds": _number(
        5,
        300,
        "Longest time in which a recognition gets audio and tells nothing; Azure ends a segment after at most 33 s.",
    ),
    "recognitionEndSeconds": _number(0.1, 120, "Longest wait for the next event after the end of the audio."),
    "commitSeconds": _number(0.1, 30, "Longest wait for the final result of a segment that is committed."),
    "inlineCommit": _switch(
        "Whether a commit is a message to Azure; otherwise, and where the SDK cannot send one, silence is written."
    ),
    "stopTimeoutSeconds": _integer(1, 10, "How long the SDK waits for Azure to end a recognition that is stopped."),
    "sdkThreads": _integer(4, 1024, "Most calls into the SDK at once; an utterance under way is one."),
    "properties": Option(
        _texts,
        "a mapping from the names of the SDK's properties to texts",
        "Properties of the SDK; set last, so they win.",
    ),
    "credentialsDirectory": Option(
        _directory,
        "an absolute path",
        "As `AZURE_SPEECH_CREDENTIALS_DIR`: where the Secret is mounted that brings region or endpoint.",
    ),
}
"""The options by their names in the file, in the order of the table."""

_ENDPOINT_NAMES = frozenset({"key", "keyFile", "region", "endpoint", "resourceId", "paths", "endpoints"})
_PROXY_NAMES = frozenset({"proxy", "proxyPasswordEnv"})
_SHOWN = (set(OPTIONS) | _ENDPOINT_NAMES | _PROXY_NAMES) - {"key"}  # a key is no option of a file


def option_rows() -> list[tuple[str, str, str, str]]:
    """The table of the options for people: name, what is allowed, default, meaning."""
    defaults = AzureOptions(endpoints=())
    return [
        (name, option.expected, _shown(getattr(defaults, _python(name))), option.doc)
        for name, option in OPTIONS.items()
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "Enabled" if value else "Disabled"
    if not value and not isinstance(value, int):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _python(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: "_" + found[1].lower(), name)
