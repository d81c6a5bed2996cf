"""What Azure's SDK says went wrong, as errors of SpeechPool. Pure: names and texts in, an error out.

The SDK tells a code (`CancellationErrorCode`) and a text for people. The code alone is too coarse: a throttled
request can come as `BadRequest`, an endpoint that does not exist as `ServiceError`, so status and close code are read
out of the text. Of the text itself only Azure's own reason for refusing a request is ever passed on, and only where
it does not quote what was to be said.
"""

import re
from enum import StrEnum

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    InvalidInput,
    SpeechPoolError,
    Throttled,
)

__all__ = ["DEFAULT_RETRY_AFTER_SECONDS", "Work", "close_code", "failure", "reason_of", "retry_after", "upgrade_status"]

DEFAULT_RETRY_AFTER_SECONDS = 5.0
"""Guess: the service names no time on a WebSocket, and its own advice is to raise the load again step by step."""

_MAX_RETRY_AFTER_SECONDS = 300.0
_MAX_REASON_CHARACTERS = 200
_QUOTED_WORDS = 3  # this many words of the caller's own, in a row, are a quotation; fewer are names and numbers

_UPGRADE = re.compile(r"WebSocket upgrade failed:[^(]*\((\d{3})\)", re.IGNORECASE)
_CLOSE = re.compile(r"Error code: (\d{4})\b")
_REASON = re.compile(r"Error details: (.*?)(?: ?USP state:|$)", re.DOTALL)
_RECEIVED = re.compile(r"Received audio size: (\d+)")
_THROTTLED = re.compile(r"throttl|too many requests|\b4?429\b|quota|concurrent request limit", re.IGNORECASE)
_RETRY_AFTER = re.compile(r"retry(?:ing)?[- ]after:? *(\d+(?:\.\d+)?) *(ms|milliseconds?)?", re.IGNORECASE)
_UNKNOWN_VOICE = re.compile(
    r"(?:unsupported|unknown|invalid) voice|voice\b.*\b(?:not (?:found|supported|exist)|does not exist)", re.IGNORECASE
)
_EXPIRED = re.compile(r"token.*expired|expired.*token|unauthorized|\b401\b", re.IGNORECASE)


class Work(StrEnum):
    """What Azure was asked to do."""

    SYNTHESIS = "synthesis"
    RECOGNITION = "recognition"


def failure(code: str, details: str, *, work: Work, endpoint: str, text: str = "") -> SpeechPoolError:
    """The error to raise for a canceled request.

    Args:
        code: Name of the SDK's `CancellationErrorCode`.
        details: The SDK's `error_details`.
        work: What was asked for.
        endpoint: Name of the endpoint, for people.
        text: What was to be said; nothing that quotes it becomes part of the message.
    """
    if code == "TooManyRequests" or (code == "BadRequest" and _THROTTLED.search(details)):
        return Throttled(
            f"Azure ({endpoint}) asks for fewer requests ({_told(code, details)})",
            retry_after_seconds=retry_after(details),
        )
    if code in {"AuthenticationFailure", "Forbidden"}:
        return AuthenticationFailed(
            f"Azure ({endpoint}) refused the credentials ({_told(code, details)}): "
            "check that key, region and endpoint belong to one Speech resource"
        )
    if code == "BadRequest" and upgrade_status(details) is None and work is Work.SYNTHESIS:
        return _refused(details, text)
    if upgrade_status(details) is not None:
        return _not_upgraded(code, details, endpoint)
    return _broken_off(code, details, work, endpoint)


def upgrade_status(details: str) -> int | None:
    """HTTP status with which the endpoint refused the WebSocket; None where it did not."""
    found = _UPGRADE.search(details)
    return int(found[1]) if found else None


def close_code(details: str) -> int | None:
    """Code with which the endpoint closed the WebSocket; None where it did not, or gave none."""
    found = _CLOSE.search(details)
    return int(found[1]) if found else None


def retry_after(details: str) -> float:
    """When to try again, in seconds: as the text says, at most 300; 5 where it says nothing."""
    found = _RETRY_AFTER.search(details)
    if not found or not float(found[1]):
        return DEFAULT_RETRY_AFTER_SECONDS
    seconds = float(found[1]) / (1000 if found[2] else 1)
    return min(seconds, _MAX_RETRY_AFTER_SECONDS)


def reason_of(details: str, text: str = "") -> str:
    """Azure's own reason, one line of at most 200 characters; empty where there is none, or where it quotes `text`."""
    found = _REASON.search(details)
    reason = " ".join(found[1].split()) if found else ""
    if _quotes(reason, text):
        return ""
    return reason if len(reason) <= _MAX_REASON_CHARACTERS else reason[: _MAX_REASON_CHARACTERS - 1] + "…"


def _quotes(reason: str, text: str) -> bool:
    words = reason.casefold().split()
    said = f" {' '.join(text.casefold().split())} "
    runs = zip(*(words[start:] for start in range(_QUOTED_WORDS)), strict=False)
    return any(" ".join(run) in said for run in runs)


def _refused(details: str, text: str) -> InvalidInput:
    reason = reason_of(details, text)
    if _UNKNOWN_VOICE.search(reason):
        return InvalidInput(
            f"Azure does not know the voice here: {reason}; choose one of the region's voices",
            param="voice",
            code="voice_not_found",
        )
    return InvalidInput(
        f"Azure refused the input: {reason or 'it gave no reason that can be repeated'}",
        param="input",
        code="engine_refused",
    )


def _not_upgraded(code: str, details: str, endpoint: str) -> SpeechPoolError:
    status = upgrade_status(details)
    hint = {
        400: "; check the endpoint's address",
        404: "; check the endpoint's address: there is no speech service at its path",
    }.get(status or 0, "")
    error = EngineTimeout if code == "ServiceTimeout" else EngineUnavailable
    return error(f"Azure ({endpoint}) refused the connection with status {status}{hint}")


def _broken_off(code: str, details: str, work: Work, endpoint: str) -> SpeechPoolError:
    told = _told(code, details)
    if code == "ServiceTimeout":
        return EngineTimeout(f"Azure ({endpoint}) sent nothing more during {work} ({told})")
    if code == "ServiceUnavailable" or (code == "ConnectionFailure" and close_code(details) is None):
        received = _RECEIVED.search(details)
        if not received or received[1] == "0":
            return EngineUnavailable(f"Azure ({endpoint}) cannot be reached ({told})")
    if _EXPIRED.search(reason_of(details)):
        return AuthenticationFailed(f"Azure ({endpoint}) ended the connection: the credentials are no longer valid")
    return EngineFailed(f"Azure ({endpoint}) broke off {work} ({told})")


def _told(code: str, details: str) -> str:
    """What is known, in numbers and names that hold nothing of the caller's."""
    facts = [code]
    if upgrade_status(details) is not None:
        facts.append(f"status {upgrade_status(details)}")
    elif close_code(details) is not None:
        facts.append(f"close code {close_code(details)}")
    received = _RECEIVED.search(details)
    if received and received[1] != "0":
        facts.append(f"after {received[1]} bytes of audio")
    return ", ".join(facts)
