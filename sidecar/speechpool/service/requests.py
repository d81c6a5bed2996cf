"""What can be asked of the service, and the checks that need no engine."""

import re
from dataclasses import dataclass, field

from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec
from speechpool.settings import Settings
from speechpool.speech.engine import EngineCapabilities
from speechpool.speech.hints import MAX_GRAMMAR_SENTENCES, MAX_PHRASES

__all__ = [
    "DEFAULT_INPUT_FORMAT",
    "SPEEDS",
    "RecognizeRequest",
    "SpeakOptions",
    "SpeakRequest",
    "TranscribeRequest",
    "check_input",
    "check_recognition",
    "check_session_id",
    "check_speed",
    "check_text",
    "refuse_control_characters",
]

SPEEDS = (0.25, 4.0)
"""OpenAI's range of `speed`."""

SEGMENTATION_SILENCES_MS = (100, 5_000)
"""Azure's range of Speech_SegmentationSilenceTimeoutMs."""

SEGMENTATION_MAXIMA_MS = (20_000, 70_000)
"""Azure's range of Speech_SegmentationMaximumTimeMs."""

SEGMENTATION_STRATEGIES = ("Default", "Time", "Semantic")
"""Azure's values of Speech_SegmentationStrategy."""

START_SENSITIVITIES = ("low", "medium", "high")
"""Azure's values of Speech_StartEventSensitivity."""

MAX_SENTENCE_CHARACTERS = 500
"""Of one phrase, or one sentence of a grammar; a guess."""

DEFAULT_INPUT_FORMAT = AudioFormat(Codec.PCM, 16_000)

_SESSION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# What XML 1.0 forbids: an engine would refuse it, or worse, speak until it.
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakOptions:
    """How something is to be said.

    Args:
        voice: The engine's name of a voice or one of OpenAI's; None for the setting `default_voice`.
        speed: Relative speed, 0.25 to 4.0.
        style: A speaking style the voice knows.
        response_format: One of `audio.formats.RESPONSE_FORMATS`.
        sample_rate_hz: One of `audio.formats.SAMPLE_RATES_HZ`; None for 24000, and 8000 for mulaw and alaw.
        word_boundaries: Whether `WordBoundary` events come out.
        visemes: Whether `Viseme` events come out.
        tells_played: Whether anybody can ask which text went out; where nobody can, the engine need not tell its words,
            and the first byte comes sooner.
        session_id: The session whose client says it; None for any client.
        pool: Name of a pool; None to choose by format.
    """

    voice: str | None = None
    speed: float = 1.0
    style: str | None = None
    response_format: str = "mp3"
    sample_rate_hz: int | None = None
    word_boundaries: bool = False
    visemes: bool = False
    tells_played: bool = True
    session_id: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakRequest(SpeakOptions):
    """One text to say, with how.

    Args:
        text: What to say. Never logged.
        is_ssml: Whether `text` is an SSML document.
    """

    text: str = field(repr=False)
    is_ssml: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizeRequest:
    """How audio that comes piece by piece is to be recognised.

    Args:
        language: BCP 47 tag ("en-US") or its language alone ("en"); None for the pool's own choice.
        phrases: Words and phrases that are likely.
        grammar: The closed set of sentences that can be recognised; empty for free dictation.
        words: Whether `Final.words` is wanted.
        partials: Whether `Partial` events are wanted.
        segmentation_silence_ms: Silence that ends a segment, 100 to 5000 ms; None for the engine's own.
        segmentation_maximum_ms: The longest segment, 20,000 to 70,000 ms; None for the engine's own.
        segmentation_strategy: "Default", "Time" or "Semantic" (which takes neither of the two above); None for the
            engine's own.
        start_sensitivity: How readily speech is taken to have begun: "low", "medium" or "high"; None for the engine's
            own.
        format: Format of what is written, raw; converted where the pool's differs.
        session_id: The session whose client listens; None for any client.
        pool: Name of a pool; None to choose by language.
    """

    language: str | None = None
    phrases: tuple[str, ...] = field(default=(), repr=False)
    grammar: tuple[str, ...] = field(default=(), repr=False)
    words: bool = False
    partials: bool = True
    segmentation_silence_ms: int | None = None
    segmentation_maximum_ms: int | None = None
    segmentation_strategy: str | None = None
    start_sensitivity: str | None = None
    format: AudioFormat = DEFAULT_INPUT_FORMAT
    session_id: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeRequest:
    """A whole recording to recognise.

    Args:
        upload: The file's bytes, any container the codecs know.
        language: As in `RecognizeRequest`, and so are the others.
        phrases: Words and phrases that are likely.
        grammar: The closed set of sentences that can be recognised.
        words: Whether word times are wanted.
        segmentation_silence_ms: Silence that ends a segment, 100 to 5000 ms.
        session_id: The session whose client listens.
        pool: Name of a pool.
    """

    upload: bytes = field(repr=False)
    language: str | None = None
    phrases: tuple[str, ...] = field(default=(), repr=False)
    grammar: tuple[str, ...] = field(default=(), repr=False)
    words: bool = True
    segmentation_silence_ms: int | None = None
    session_id: str | None = None
    pool: str | None = None


def check_text(text: str, limit: int, *, param: str = "input") -> None:
    """Refuse text that no engine should get.

    Raises:
        InvalidInput: It is empty, longer than `limit` characters, or holds control characters.
    """
    if not text.strip():
        raise InvalidInput(f"{param} must not be empty", param=param, code="empty_input")
    if len(text) > limit:
        raise InvalidInput(
            f"{param} must have at most {limit} characters; it has {len(text)}", param=param, code="input_too_long"
        )
    refuse_control_characters(text, param=param)


def refuse_control_characters(text: str, *, param: str = "input") -> None:
    """Refuse characters that XML 1.0 does not know.

    Raises:
        InvalidInput: There is one; the message says where and which.
    """
    if found := _CONTROL_CHARACTERS.search(text):
        raise InvalidInput(
            f"{param} holds the control character U+{ord(found.group()):04X} at index {found.start()}; remove it",
            param=param,
            code="control_character",
        )


def check_speed(speed: float) -> None:
    """Refuse a speed outside of OpenAI's range.

    Raises:
        InvalidInput: It is.
    """
    low, high = SPEEDS
    if not low <= speed <= high:
        raise InvalidInput(f"speed must be from {low} to {high}; got {speed}", param="speed", code="invalid_speed")


def check_input(request: SpeakRequest, settings: Settings, able: EngineCapabilities) -> None:
    """Refuse a text that no engine should get.

    Raises:
        InvalidInput: It is empty, too long or holds control characters, or is SSML where the engine takes none.
    """
    if request.is_ssml and not able.ssml:
        raise InvalidInput("this engine takes no SSML; use text", param="input_type", code="unsupported_value")
    check_text(request.text, settings.max_ssml_characters if request.is_ssml else settings.max_input_characters)


def check_recognition(request: RecognizeRequest, able: EngineCapabilities) -> None:
    """Refuse options that no recognition could use.

    Raises:
        InvalidInput: A list is too long, an entry is empty or too long, the engine knows no such option, or an option
            of segmentation is out of bounds.
    """
    _check_sentences("phrases", request.phrases, MAX_PHRASES, is_known=able.phrases)
    _check_sentences("grammar", request.grammar, MAX_GRAMMAR_SENTENCES, is_known=able.grammar)
    _check_segmentation(request, is_known=able.segmentation)
    if not request.format.is_raw:
        raise InvalidInput("format must be pcm, mulaw or alaw", param="format", code="unsupported_format")


def _check_segmentation(request: RecognizeRequest, *, is_known: bool) -> None:
    for param in () if is_known else ("segmentation_maximum_ms", "segmentation_strategy", "start_sensitivity"):
        if getattr(request, param) is not None:
            raise _unusable(param)
    _check_range("segmentation_silence_ms", request.segmentation_silence_ms, SEGMENTATION_SILENCES_MS)
    _check_range("segmentation_maximum_ms", request.segmentation_maximum_ms, SEGMENTATION_MAXIMA_MS)
    _check_choice("segmentation_strategy", request.segmentation_strategy, SEGMENTATION_STRATEGIES)
    _check_choice("start_sensitivity", request.start_sensitivity, START_SENSITIVITIES)
    timed = [name for name in ("segmentation_silence_ms", "segmentation_maximum_ms") if getattr(request, name)]
    if request.segmentation_strategy == "Semantic" and timed:
        raise InvalidInput(
            f"segmentation_strategy Semantic takes no {timed[0]}; leave one of them out",
            param="segmentation_strategy",
            code="invalid_value",
        )


def _check_range(param: str, value: int | None, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if value is not None and not low <= value <= high:
        raise InvalidInput(f"{param} must be from {low} to {high}; got {value}", param=param, code="invalid_value")


def _check_choice(param: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        known = ", ".join(choices)
        raise InvalidInput(f"{param} must be one of {known}; got {value[:64]!r}", param=param, code="invalid_value")


def _unusable(param: str) -> InvalidInput:
    return InvalidInput(f"{param}: this engine cannot use it; leave it out", param=param, code="unsupported_value")


def _check_sentences(param: str, sentences: tuple[str, ...], limit: int, *, is_known: bool) -> None:
    if sentences and not is_known:
        raise _unusable(param)
    if len(sentences) > limit:
        raise InvalidInput(
            f"{param} must have at most {limit} entries; it has {len(sentences)}", param=param, code="too_many_entries"
        )
    for index, sentence in enumerate(sentences):
        check_text(sentence, MAX_SENTENCE_CHARACTERS, param=f"{param}[{index}]")


def check_session_id(session_id: str) -> None:
    """Refuse a session id that could not stand in a path or a log.

    Raises:
        InvalidInput: It is not 1 to 128 letters, digits, dots, underscores, colons or hyphens.
    """
    if not _SESSION_ID.fullmatch(session_id):
        raise InvalidInput(
            "session_id must be 1 to 128 characters of A-Z a-z 0-9 . _ : -",
            param="session_id",
            code="invalid_session_id",
        )
