# ruff: noqa: RUF009 -- knob() is dataclasses.field() with the settings table's columns; it makes no shared value
"""The settings of one pool: every knob, its names, bounds, default and meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from speechpool.formats import INPUT_FORMATS, OUTPUT_FORMATS
from speechpool.settings.kinds import Choice, Integer, Number, Switch
from speechpool.settings.knobs import Effect, Knob, PoolKind, knob, knobs_of
from speechpool.settings.lists import LanguageTags

__all__ = ["POOL_KNOBS", "LanguageMode", "PoolSettings", "default_pool"]


class LanguageMode(StrEnum):
    """How a recogniser uses its languages: one fixed language, or detection among several."""

    SINGLE = "Single"
    DETECT = "Detect"


DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """One pool, resolved. Each field's meaning is its knob's `doc`.

    The fields that a running pool takes have the names of `WarmableResourcePool`'s keywords: see `keywords()`.
    """

    name: str
    kind: PoolKind

    output_format: str = knob(
        key="outputFormat",
        kind=Choice(tuple(OUTPUT_FORMATS), make=str),
        default="Raw24Khz16BitMonoPcm",
        effect=Effect.REPLACE,
        only=PoolKind.TEXT_TO_SPEECH,
        fallback=False,
        doc="Format of the audio that the pool's clients make.",
    )
    text_streaming: bool = knob(
        key="textStreaming",
        kind=Switch(),
        default=False,
        effect=Effect.REPLACE,
        only=PoolKind.TEXT_TO_SPEECH,
        fallback=False,
        doc="Whether the pool's clients take text piece by piece and speak before they have all of it.",
    )
    input_format: str = knob(
        key="inputFormat",
        kind=Choice(tuple(INPUT_FORMATS), make=str),
        default="Raw16Khz16BitMonoPcm",
        effect=Effect.REPLACE,
        only=PoolKind.SPEECH_TO_TEXT,
        fallback=False,
        doc="Format of the audio that the pool's clients take; audio in another one is converted.",
    )
    languages: tuple[str, ...] = knob(
        key="languages",
        kind=LanguageTags(),
        default=("en-US",),
        effect=Effect.REPLACE,
        only=PoolKind.SPEECH_TO_TEXT,
        fallback=False,
        doc="Languages that the pool's clients recognise.",
        default_doc="the default language",
    )
    language_mode: LanguageMode = knob(
        key="languageMode",
        kind=Choice(tuple(LanguageMode), make=LanguageMode),
        default=LanguageMode.SINGLE,
        effect=Effect.REPLACE,
        only=PoolKind.SPEECH_TO_TEXT,
        fallback=False,
        doc="One fixed language, or detection among several.",
    )

    warm_pool_size: int = knob(
        key="warmSize",
        env="SPEECH_POOL_WARM_SIZE",
        kind=Integer(0, 1000),
        default=3,
        stt_default=1,
        unit="clients",
        doc="Clients kept warm in each pool; 0 makes every client on demand.",
    )
    warm_pool_max: int | None = knob(
        key="maxWarmSize",
        env="SPEECH_POOL_WARM_MAX",
        kind=Integer(1, 1000, off=True),
        default=None,
        unit="clients",
        doc="Largest warm size to which a pool may raise itself under load; off keeps the warm size fixed.",
    )
    max_size: int = knob(
        key="maxSize",
        env="SPEECH_POOL_MAX_SIZE",
        kind=Integer(1, 1000),
        default=64,
        unit="clients",
        doc="Most clients in each pool, warm and in use together.",
    )
    max_waiting: int = knob(
        key="maxWaiting",
        env="SPEECH_POOL_MAX_WAITING",
        kind=Integer(1, 10_000),
        default=100,
        unit="callers",
        doc="Most callers that may wait for a client; the next is refused at once.",
    )
    acquire_timeout: float = knob(
        key="acquireTimeoutSeconds",
        env="SPEECH_POOL_ACQUIRE_TIMEOUT",
        kind=Number(0.01, 600),
        default=10.0,
        unit="seconds",
        doc="Longest wait for a client, its creation included.",
    )
    create_timeout: float = knob(
        key="createTimeoutSeconds",
        env="SPEECH_POOL_CREATE_TIMEOUT",
        kind=Number(0.1, 600),
        default=30.0,
        unit="seconds",
        doc="Longest time in which one client is made.",
    )
    warmup_interval_sec: float = knob(
        key="warmupIntervalSeconds",
        env="SPEECH_POOL_WARMUP_INTERVAL",
        kind=Number(0.1, DAY),
        default=30.0,
        unit="seconds",
        doc="Time between two rounds of upkeep; a refill never waits for it.",
    )
    session_awareness: bool = knob(
        key="sessionAwareness",
        env="SPEECH_POOL_SESSION_AWARENESS",
        kind=Switch(),
        default=True,
        doc="Whether a session keeps a client of its own.",
    )
    session_max_age_sec: float = knob(
        key="sessionMaxAgeSeconds",
        env="SPEECH_POOL_SESSION_MAX_AGE",
        kind=Number(1, 7 * DAY),
        default=1800.0,
        unit="seconds",
        doc="Time without use after which a session ends.",
    )
    session_grace_sec: float = knob(
        key="sessionGraceSeconds",
        env="SPEECH_POOL_SESSION_GRACE",
        kind=Number(0, 3600),
        default=30.0,
        unit="seconds",
        doc="Time in which a session that ended by age still finds its own client again.",
    )
    max_idle_sec: float | None = knob(
        key="maxIdleSeconds",
        env="SPEECH_POOL_MAX_IDLE",
        kind=Number(1, 7 * DAY, off=True),
        default=None,
        # Azure closes recognisers' connections that idle; 5 minutes are documented for some of its services
        engine_defaults={"azure": (None, 240.0)},
        unit="seconds",
        doc="Time without use after which a warm client is replaced.",
    )
    max_lifetime_sec: float | None = knob(
        key="maxLifetimeSeconds",
        env="SPEECH_POOL_MAX_LIFETIME",
        kind=Number(1, 7 * DAY, off=True),
        default=None,
        # Azure closes a synthesizer's connection after 10 minutes, and its SDK opens one anew from 9 on (SpeechSDK,
        # source/core/tts_cloud/usp_tts_engine_adapter.cpp)
        engine_defaults={"azure": (480.0, None)},
        unit="seconds",
        doc="Age at which a client is replaced as soon as it is idle.",
    )
    keepalive_sec: float | None = knob(
        key="keepaliveSeconds",
        env="SPEECH_POOL_KEEPALIVE",
        kind=Number(1, DAY, off=True),
        default=None,
        unit="seconds",
        doc="Time between two checks of an idle client.",
    )
    max_creating: int | None = knob(
        key="maxCreating",
        env="SPEECH_POOL_MAX_CREATING",
        kind=Integer(1, 1000, off=True),
        default=None,
        unit="clients",
        doc="Most clients being made at once, for callers and for refill together.",
    )
    max_refilling: int = knob(
        key="maxRefilling",
        env="SPEECH_POOL_MAX_REFILLING",
        kind=Integer(1, 1000),
        default=4,
        unit="clients",
        doc="Most clients being made at once for refill alone.",
    )
    creations_per_minute: int | None = knob(
        key="creationsPerMinute",
        env="SPEECH_POOL_CREATIONS_PER_MINUTE",
        kind=Integer(1, 100_000, off=True),
        default=None,
        unit="clients",
        doc="Most clients made in a minute.",
    )
    leak_after_sec: float | None = knob(
        key="leakAfterSeconds",
        env="SPEECH_POOL_LEAK_AFTER",
        kind=Number(1, 7 * DAY, off=True),
        default=None,
        unit="seconds",
        doc="Time in use after which a client is reported as leaked; it is never taken away.",
    )
    recycle_sessions: bool = knob(
        key="recycleSessions",
        env="SPEECH_POOL_RECYCLE_SESSIONS",
        kind=Switch(),
        default=True,
        stt_default=False,
        doc="Whether a session's client goes back to the pool when the session ends; otherwise it is closed.",
    )
    enable_background_warmup: bool = knob(
        key="backgroundWarmup",
        env="SPEECH_POOL_BACKGROUND_WARMUP",
        kind=Switch(),
        default=True,
        doc="Whether pools refill by themselves; otherwise only at the start.",
    )
    max_characters_per_minute: int | None = knob(
        key="maxCharactersPerMinute",
        env="SPEECH_POOL_MAX_CHARACTERS_PER_MINUTE",
        kind=Integer(1, 100_000_000, off=True),
        default=None,
        unit="characters",
        only=PoolKind.TEXT_TO_SPEECH,
        doc="Most characters that a pool speaks in a minute.",
    )
    max_audio_seconds_per_minute: int | None = knob(
        key="maxAudioSecondsPerMinute",
        env="SPEECH_POOL_MAX_AUDIO_SECONDS_PER_MINUTE",
        kind=Integer(1, 1_000_000, off=True),
        default=None,
        unit="seconds of audio",
        doc="Most audio that a pool makes or takes in a minute.",
    )

    def keywords(self) -> dict[str, Any]:
        """The values for `WarmableResourcePool(...)` and its `reconfigure(...)`, by keyword."""
        return {one.name: getattr(self, one.name) for one in POOL_KNOBS if one.name not in _NOT_THE_POOLS}

    def to_dict(self) -> dict[str, Any]:
        """The pool as an element of a file's `pools`; complete."""
        values = {
            one.key: one.kind.to_value(getattr(self, one.name)) for one in POOL_KNOBS if one.applies_to(self.kind)
        }
        return {"name": self.name, "kind": str(self.kind)} | values


POOL_KNOBS: tuple[Knob, ...] = knobs_of(PoolSettings)
"""Every knob of a pool, in the order of the tables."""

_NOT_THE_POOLS = frozenset(
    {
        "output_format",
        "text_streaming",
        "input_format",
        "languages",
        "language_mode",
        "max_characters_per_minute",
        "max_audio_seconds_per_minute",
    }
)


def default_pool(kind: PoolKind, name: str, changes: Mapping[str, Any] | None = None) -> PoolSettings:
    """A pool with the defaults of its kind.

    Args:
        kind: What its clients do.
        name: Its name.
        changes: Other values, by Python name; not checked.
    """
    defaults: dict[str, Any] = {one.name: one.default_of(kind) for one in POOL_KNOBS}
    return PoolSettings(name=name, kind=kind, **(defaults | dict(changes or {})))
