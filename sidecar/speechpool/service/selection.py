"""Which pool serves a request: by format or by language, never a cold client only because of either. Pure."""

from collections.abc import Sequence
from typing import TypeVar

from speechpool.audio.formats import ResponseFormat
from speechpool.errors import InvalidInput, NotFound
from speechpool.formats import AudioFormat, Codec
from speechpool.service.requests import DEFAULT_INPUT_FORMAT
from speechpool.service.speech_pools import RecognitionPool, SpeechPool, SynthesisPool
from speechpool.settings import LanguageMode
from speechpool.speech.engine import Client

__all__ = ["choose_recognition", "choose_synthesis", "matching_language"]

C = TypeVar("C", bound=Client)


def choose_synthesis(
    pools: Sequence[SynthesisPool],
    target: ResponseFormat,
    name: str | None = None,
    *,
    is_streamed: bool = False,
    param: str = "pool",
) -> SynthesisPool:
    """The pool whose format is the target's; failing that, or while that has nothing warm, one to convert from.

    Args:
        pools: Those there are.
        target: The format that is asked for.
        name: The one pool that may serve; None for any.
        is_streamed: Whether the text comes piece by piece: a pool that takes it so goes before all others, and is for
            nothing else unless it is named, or there is no other.
        param: The field that `name` came in, for the error.

    Raises:
        NotFound: No pool is called `name`.
        InvalidInput: No pool's audio can be converted to the target.
    """
    named = _named(pools, name, param)
    if name is None and not is_streamed:
        named = [pool for pool in named if not pool.settings.text_streaming] or named
    able = [pool for pool in named if pool.format == target.audio or pool.format.is_raw]
    if not able:
        raise InvalidInput(
            f"response_format {target.name!r} cannot be made from the pools there are; add one with a PCM outputFormat",
            param="response_format",
            code="unsupported_format",
        )
    if len(able) == 1:
        return able[0]
    able.sort(key=lambda pool: (is_streamed and not pool.settings.text_streaming, _loss(pool.format, target.audio)))
    return _first_warm(able)


def _loss(made: AudioFormat, wanted: AudioFormat) -> tuple[bool, bool, bool, int]:
    """How much is lost by converting: nothing, then little from PCM, more from companded or slower audio."""
    return (
        made != wanted,
        made.codec is not Codec.PCM,
        made.sample_rate_hz < wanted.sample_rate_hz,
        abs(made.sample_rate_hz - wanted.sample_rate_hz),
    )


def choose_recognition(
    pools: Sequence[RecognitionPool],
    language: str | None,
    default_language: str,
    name: str | None = None,
    audio_format: AudioFormat = DEFAULT_INPUT_FORMAT,
    *,
    param: str = "pool",
) -> RecognitionPool:
    """The pool that understands the language, a warm one first, and then one that takes the audio as it is.

    Args:
        pools: Those there are.
        language: What is asked for; None for `default_language`, or any.
        default_language: The setting.
        name: The one pool that may serve; None for any.
        audio_format: Format of the audio that will come.
        param: The field that `name` came in, for the error.

    Raises:
        NotFound: No pool is called `name`.
        InvalidInput: No pool understands the language.
    """
    named = _named(pools, name, param)
    wanted = language or default_language
    able = [pool for pool in named if matching_language(wanted, pool.settings.languages)]
    if not able and language is None:
        able = list(named)
    if not able:
        raise _unknown_language(language or "", named)
    able.sort(key=lambda pool: _detour(pool, wanted, audio_format))
    return _first_warm(able)


def _detour(pool: RecognitionPool, wanted: str, audio_format: AudioFormat) -> tuple[bool | int, ...]:
    """How far a pool is from what was asked for: in language, then in what its format loses of the audio."""
    return (
        matching_language(wanted, pool.settings.languages) != wanted,
        pool.settings.language_mode is LanguageMode.DETECT,
        pool.format != audio_format,
        pool.format.sample_rate_hz < audio_format.sample_rate_hz,
        pool.format.codec is not Codec.PCM,
        abs(pool.format.sample_rate_hz - audio_format.sample_rate_hz),
    )


def matching_language(wanted: str, languages: Sequence[str]) -> str | None:
    """The tag among `languages` that `wanted` means: itself, or for a language alone ("en") its first region."""
    folded = wanted.casefold().replace("_", "-")
    for tag in languages:
        if tag.casefold() == folded:
            return tag
    if "-" in folded:
        return None
    return next((tag for tag in languages if tag.casefold().split("-")[0] == folded), None)


def _unknown_language(language: str, pools: Sequence[RecognitionPool]) -> InvalidInput:
    known = ", ".join(sorted({tag for pool in pools for tag in pool.settings.languages}))
    return InvalidInput(
        f"language {language[:20]!r} is not recognised here; known are {known}",
        param="language",
        code="unsupported_language",
    )


def _named(pools: Sequence[SpeechPool[C]], name: str | None, param: str) -> Sequence[SpeechPool[C]]:
    if not pools:
        raise NotFound("no pool of this kind is configured", param=param, code="pool_not_found")
    if name is None:
        return pools
    for pool in pools:
        if pool.name == name:
            return [pool]
    known = ", ".join(pool.name for pool in pools)
    raise NotFound(f"there is no such pool {name[:64]!r}; known are {known}", param=param, code="pool_not_found")


def _first_warm(pools: Sequence[SpeechPool[C]]) -> SpeechPool[C]:
    if len(pools) == 1:
        return pools[0]
    return next((pool for pool in pools if pool.is_warm), pools[0])
