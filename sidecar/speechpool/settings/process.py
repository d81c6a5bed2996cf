# ruff: noqa: RUF009 -- knob() is dataclasses.field() with the settings table's columns; it makes no shared value
"""The settings of the whole sidecar: every knob, its names, bounds, default and meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speechpool.settings.kinds import Choice, Integer, Number, Secret, Text
from speechpool.settings.knobs import Effect, Knob, PoolKind, knob, knobs_of
from speechpool.settings.lexicon import LexiconEntries, LexiconEntry
from speechpool.settings.lists import LANGUAGE_PATTERN, MAX_LANGUAGE_CHARACTERS, EngineOptions, Origins
from speechpool.settings.places import Address, FileMode, FilePath, GroupName, HostPort
from speechpool.settings.pool import PoolSettings, default_pool

__all__ = ["HIDDEN", "MAX_POOLS", "PROCESS_KNOBS", "Settings"]

MAX_POOLS = 16
"""Most pools of one sidecar: far above the formats and languages that one application uses; a guess."""

HIDDEN = "(set)"
"""What is shown in place of a key or a token."""

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, resolved and checked. Each field's meaning is its knob's `doc`."""

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

    socket: str | None = knob(
        key="socket",
        env="SPEECHPOOL_SOCKET",
        kind=FilePath(107),  # sun_path of unix(7) is 108 bytes with the final NUL
        default=None,
        effect=Effect.RESTART,
        doc="Path of the Unix socket.",
        default_doc="/run/speechpool/speechpool.sock, or the user's own place",
    )
    socket_mode: int = knob(
        key="socketMode",
        env="SPEECHPOOL_SOCKET_MODE",
        kind=FileMode(),
        default=0o660,
        effect=Effect.RESTART,
        doc="Permissions of the socket.",
    )
    socket_group: str | None = knob(
        key="socketGroup",
        env="SPEECHPOOL_SOCKET_GROUP",
        kind=GroupName(),
        default=None,
        effect=Effect.RESTART,
        doc="Group of the socket.",
        default_doc="the process's own",
    )
    listen: Address | None = knob(
        key="listen",
        env="SPEECHPOOL_LISTEN",
        kind=HostPort(loopback=True),
        default=None,
        effect=Effect.RESTART,
        doc="Loopback address for HTTP over TCP, for clients that cannot use a Unix socket; needs a token.",
    )
    listen_token: str | None = knob(
        key="listenToken",
        env="SPEECHPOOL_LISTEN_TOKEN",
        kind=Secret(16, 512),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        secret=True,
        doc="Bearer token that clients of `listen` send.",
    )
    listen_token_file: str | None = knob(
        key="listenTokenFile",
        env="SPEECHPOOL_LISTEN_TOKEN_FILE",
        kind=FilePath(),
        default=None,
        effect=Effect.RESTART,
        doc="File that holds the bearer token, in place of the variable.",
    )
    listen_allowed_origins: tuple[str, ...] = knob(
        key="listenAllowedOrigins",
        env="SPEECHPOOL_LISTEN_ALLOWED_ORIGINS",
        kind=Origins(),
        default=(),
        effect=Effect.RESTART,
        doc="Web origins whose pages may use `listen`.",
    )
    telemetry_address: Address | None = knob(
        key="telemetryAddress",
        env="SPEECHPOOL_TELEMETRY_ADDRESS",
        kind=HostPort(),
        default=None,
        effect=Effect.RESTART,
        doc="Address of the probes and of /metrics.",
    )
    config_file: str | None = knob(
        key="configFile",
        env="SPEECHPOOL_CONFIG",
        kind=FilePath(),
        default=None,
        effect=Effect.RESTART,
        in_file=False,
        doc="Settings file in YAML; watched, and applied when it changes.",
    )
    log_level: str = knob(
        key="logLevel",
        env="SPEECHPOOL_LOG_LEVEL",
        kind=Choice(("debug", "info", "warning", "error"), make=str),
        default="info",
        doc="Least severe level that is logged.",
    )
    log_format: str = knob(
        key="logFormat",
        env="SPEECHPOOL_LOG_FORMAT",
        kind=Choice(("auto", "json", "text"), make=str),
        default="auto",
        effect=Effect.RESTART,
        doc="Form of the log; auto is text on a terminal and JSON elsewhere.",
    )
    event_loop: str = knob(
        key="eventLoop",
        env="SPEECHPOOL_EVENT_LOOP",
        kind=Choice(("auto", "uvloop", "asyncio"), make=str),
        default="auto",
        effect=Effect.RESTART,
        doc="Event loop; auto is uvloop where it is installed.",
    )
    codec_workers: int = knob(
        key="codecWorkers",
        env="SPEECHPOOL_CODEC_WORKERS",
        kind=Integer(1, 32),
        default=2,
        unit="processes",
        effect=Effect.RESTART,
        doc="Most processes that encode, decode and resample.",
    )

    startup_wait_seconds: float = knob(
        key="startupWaitSeconds",
        env="SPEECHPOOL_STARTUP_WAIT",
        kind=Number(0, 600),
        default=30.0,
        unit="seconds",
        effect=Effect.RESTART,
        doc="Time after which /startupz answers 200 even where the pools are not warm.",
    )
    shutdown_timeout_seconds: float = knob(
        key="shutdownTimeoutSeconds",
        env="SPEECHPOOL_SHUTDOWN_TIMEOUT",
        kind=Number(0, 3600),
        default=25.0,  # five seconds of margin below a pod's 30 (terminationGracePeriodSeconds)
        unit="seconds",
        doc="Time that running utterances and recognitions have to end after SIGTERM. Its last 2 seconds, "
        "at most a quarter of it, are for telling those that were cut off.",
    )
    first_chunk_timeout_seconds: float = knob(
        key="firstChunkTimeoutSeconds",
        env="SPEECHPOOL_FIRST_CHUNK_TIMEOUT",
        kind=Number(0.1, 120),
        default=10.0,
        unit="seconds",
        doc="Longest wait for the first audio of an utterance, before another client is tried.",
    )
    chunk_gap_timeout_seconds: float = knob(
        key="chunkGapTimeoutSeconds",
        env="SPEECHPOOL_CHUNK_GAP_TIMEOUT",
        kind=Number(0.1, 120),
        default=10.0,
        unit="seconds",
        doc="Longest silence of the engine inside an utterance.",
    )
    utterance_timeout_seconds: float = knob(
        key="utteranceTimeoutSeconds",
        env="SPEECHPOOL_UTTERANCE_TIMEOUT",
        kind=Number(1, 7200),
        default=600.0,
        unit="seconds",
        doc="Longest time for one utterance.",
    )
    max_recognition_seconds: float = knob(
        key="maxRecognitionSeconds",
        env="SPEECHPOOL_MAX_RECOGNITION",
        kind=Number(1, 86_400),
        default=14_400.0,
        unit="seconds",
        doc="Longest time for one recognition.",
    )
    websocket_idle_seconds: float = knob(
        key="websocketIdleSeconds",
        env="SPEECHPOOL_WEBSOCKET_IDLE",
        kind=Number(1, 86_400),
        default=300.0,
        unit="seconds",
        doc="Time without a message after which a WebSocket is closed.",
    )
    max_input_characters: int = knob(
        key="maxInputCharacters",
        env="SPEECHPOOL_MAX_INPUT_CHARACTERS",
        kind=Integer(1, 1_000_000),
        default=4096,  # OpenAI's bound of `input`
        unit="characters",
        doc="Longest text of one speech request.",
    )
    max_ssml_characters: int = knob(
        key="maxSsmlCharacters",
        env="SPEECHPOOL_MAX_SSML_CHARACTERS",
        kind=Integer(1, 1_000_000),
        default=65_536,
        unit="characters",
        doc="Longest SSML document of one speech request, markup included.",
    )
    max_upload_bytes: int = knob(
        key="maxUploadBytes",
        env="SPEECHPOOL_MAX_UPLOAD_BYTES",
        kind=Integer(KIB, 1024 * MIB),
        default=25 * MIB,  # OpenAI's bound of `file`
        unit="bytes",
        doc="Largest upload of one transcription.",
    )
    max_upload_total_bytes: int = knob(
        key="maxUploadTotalBytes",
        env="SPEECHPOOL_MAX_UPLOAD_TOTAL_BYTES",
        kind=Integer(KIB, 16 * 1024 * MIB),
        default=128 * MIB,
        unit="bytes",
        doc="Most bytes that all uploads under way hold together.",
    )
    upload_timeout_seconds: float = knob(
        key="uploadTimeoutSeconds",
        env="SPEECHPOOL_UPLOAD_TIMEOUT",
        kind=Number(0.1, 3600),
        default=60.0,
        unit="seconds",
        doc="Longest time for one upload.",
    )
    upload_stall_seconds: float = knob(
        key="uploadStallSeconds",
        env="SPEECHPOOL_UPLOAD_STALL",
        kind=Number(0.1, 3600),
        default=10.0,
        unit="seconds",
        doc="Longest time in which an upload brings nothing.",
    )
    prompt_cache_bytes: int | None = knob(
        key="promptCacheBytes",
        env="SPEECHPOOL_PROMPT_CACHE_BYTES",
        kind=Integer(64 * KIB, 16 * 1024 * MIB, off=True),
        default=None,
        unit="bytes",
        doc="Memory for finished utterances, so that the same text is said again without a client; none is larger than "
        "a quarter of it.",
    )
    max_sessions: int = knob(
        key="maxSessions",
        env="SPEECHPOOL_MAX_SESSIONS",
        kind=Integer(1, 100_000),
        default=1000,
        unit="sessions",
        doc="Most sessions at once.",
    )
    default_voice: str = knob(
        key="defaultVoice",
        env="SPEECHPOOL_DEFAULT_VOICE",
        kind=Text(
            "a voice's name (1 to 128 characters, no control characters)", r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}", 128
        ),
        default="alloy",
        doc="Voice of requests that name none.",
    )
    default_language: str = knob(
        key="defaultLanguage",
        env="SPEECHPOOL_DEFAULT_LANGUAGE",
        kind=Text("a language tag, as en-US", LANGUAGE_PATTERN, MAX_LANGUAGE_CHARACTERS),
        default="en-US",
        doc="Language of requests, and of SpeechToText pools, that name none.",
    )
    lexicon: tuple[LexiconEntry, ...] = knob(
        key="lexicon",
        kind=LexiconEntries(),
        default=(),
        doc="How words and phrases are said: as another text (alias) or, where the engine speaks phonemes, by their "
        "sounds (ipa).",
    )
    pools: tuple[PoolSettings, ...] = (
        default_pool(PoolKind.TEXT_TO_SPEECH, "tts"),
        default_pool(PoolKind.SPEECH_TO_TEXT, "stt"),
    )

    def pools_of(self, kind: PoolKind) -> tuple[PoolSettings, ...]:
        """The pools of one kind, in their order."""
        return tuple(pool for pool in self.pools if pool.kind is kind)

    def engine_options(self) -> dict[str, Any]:
        """What the engine's factory gets: its section of `engines`, for azure with the credentials; never log it."""
        options = dict(self.engines.get(self.engine, {}))
        if self.engine == "azure":
            given = {
                "language": self.default_language,
                "key": self.azure_speech_key,
                "keyFile": self.azure_speech_key_file,
                "resourceId": self.azure_speech_resource_id,
                "region": self.azure_speech_region,
                "endpoint": self.azure_speech_endpoint,
            }
            set_ones = ({name: value for name, value in one.items() if value is not None} for one in (given, options))
            options = {name: value for one in set_ones for name, value in one.items()}
        return options

    def to_dict(self) -> dict[str, Any]:
        """The settings as a complete file would hold them; without what only the environment may hold."""
        values = {one.key: one.kind.to_value(getattr(self, one.name)) for one in PROCESS_KNOBS if one.in_file}
        written = {key: value for key, value in values.items() if value is not None}
        return written | {"pools": [pool.to_dict() for pool in self.pools]}

    def shown(self) -> dict[str, Any]:
        """Everything for people: `to_dict()` and what only the environment may hold, keys and tokens as `HIDDEN`."""
        others = {one: getattr(self, one.name) for one in PROCESS_KNOBS if not one.in_file}
        set_ones = {one.key: HIDDEN if one.secret else value for one, value in others.items() if value is not None}
        return self.to_dict() | set_ones


PROCESS_KNOBS: tuple[Knob, ...] = knobs_of(Settings)
"""Every knob outside the pools, in the order of the tables."""
