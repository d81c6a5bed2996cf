# ruff: noqa: RUF009 -- knob() is dataclasses.field() with the settings table's columns; it makes no shared value
"""The settings of the whole sidecar: every knob, its names, bounds, default and meaning."""

from dataclasses import dataclass
from typing import Any

from speechpool.settings.engines import EngineSettings
from speechpool.settings.kinds import Choice, Integer, Number, Secret, Text
from speechpool.settings.knobs import Effect, Knob, PoolKind, knob, knobs_of
from speechpool.settings.lexicon import LexiconEntries, LexiconEntry
from speechpool.settings.lists import LANGUAGE_PATTERN, MAX_LANGUAGE_CHARACTERS, Origins
from speechpool.settings.places import Address, FileMode, FilePath, GroupName, HostPort
from speechpool.settings.pool import PoolSettings, default_pool

__all__ = ["HIDDEN", "MAX_POOLS", "PROCESS_KNOBS", "Settings"]

MAX_POOLS = 16
"""Most pools of one sidecar: far above the formats and languages that one application uses; a guess."""

HIDDEN = "(set)"
"""What is shown in place of a key or a token."""

OPERATOR_FILES = "/var/run/secrets/speechpool.dev"
"""Where a pod has what its sidecar needs to reach the operator."""

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(EngineSettings):
    """Everything that can be set, resolved and checked. Each field's meaning is its knob's `doc`."""

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
        doc="Address of the probes and of /metrics; [::] is every address of both families.",
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
    operator: Address | None = knob(
        key="operator",
        env="SPEECHPOOL_OPERATOR",
        kind=HostPort(remote=True),
        default=None,
        effect=Effect.RESTART,
        doc="Address of the operator that brings settings; its certificate must be for this host.",
    )
    operator_ca_file: str = knob(
        key="operatorCaFile",
        env="SPEECHPOOL_OPERATOR_CA_FILE",
        kind=FilePath(),
        default=f"{OPERATOR_FILES}/ca",
        effect=Effect.RESTART,
        doc="File with the certificates of who may vouch for the operator, or a directory whose *.crt and *.pem are "
        "such files; read anew for each connection.",
    )
    operator_token_file: str = knob(
        key="operatorTokenFile",
        env="SPEECHPOOL_OPERATOR_TOKEN_FILE",
        kind=FilePath(),
        default=f"{OPERATOR_FILES}/token",
        effect=Effect.RESTART,
        doc="File with the bearer token that tells the operator who asks; read anew for each connection.",
    )
    state_directory: str | None = knob(
        key="stateDirectory",
        env="SPEECHPOOL_STATE_DIR",
        kind=FilePath(),
        default=None,
        effect=Effect.RESTART,
        doc="Directory that outlives a restart of the sidecar, where the operator's last good settings are kept.",
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
                "credentialsDirectory": self.azure_speech_credentials_directory,
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
