"""The table of what Azure's SDK says (azure-cognitiveservices-speech 1.53) and what is made of it, one test a row."""

import pytest

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    InvalidInput,
    SpeechPoolError,
    Throttled,
)
from speechpool.speech.azure.failures import Work, close_code, failure, reason_of, retry_after, upgrade_status

KEY = "0123456789abcdef0123456789abcdef"
UPGRADE = (
    "WebSocket upgrade failed: {} ({}). Please check subscription information and region name. USP state: Sending."
)
CLOSED = (
    "Connection was closed by the remote host. Error code: {}. Error details: {} USP state: {}. "
    "Received audio size: {} bytes."
)
REFUSED = (
    "Connection failed (no connection to the remote host). Internal error: 1. Error details: Failed with error: "
    "WS_OPEN_ERROR_UNDERLYING_IO_OPEN_FAILED (code=111: Connection refused)\nws://127.0.0.1:1/secret/path\n"
    "X-ConnectionId: 3dc47b6f USP state: Sending. Received audio size: 0 bytes."
)
RESET = (
    "WebSocket operation failed. Internal error: 3. Error details: WS_ERROR_UNDERLYING_IO_ERROR "
    "USP state: ReceivingData. Received audio size: {} bytes."
)
FIRST_CHUNK = "USP error: timeout waiting for the first audio chunk"
STALLED = (
    "Timeout while synthesizing. Current RTF: 10.13 (threshold 2), frame interval 3020ms (threshold 3000ms). "
    "USP state: ReceivingData. Received audio size: 9600 bytes."
)


def closed(code: int, reason: str = "", received: int = 0) -> str:
    return CLOSED.format(code, reason, "ReceivingData" if received else "TurnStarted", received)


def fail(code: str, details: str, work: Work = Work.SYNTHESIS, text: str = "") -> SpeechPoolError:
    return failure(code, details, work=work, endpoint="westeurope", text=text)


TABLE = [
    ("upgrade 401", "AuthenticationFailure", UPGRADE.format("Authentication error", 401), AuthenticationFailed),
    ("upgrade 403", "AuthenticationFailure", UPGRADE.format("Authentication error", 403), AuthenticationFailed),
    ("forbidden", "Forbidden", "", AuthenticationFailed),
    ("upgrade 429", "TooManyRequests", UPGRADE.format("Too many requests", 429), Throttled),
    ("close 4429", "TooManyRequests", closed(4429), Throttled),
    ("close 1007 throttled", "BadRequest", closed(1007, "Throttled due to too many requests"), Throttled),
    ("close 1007 quota", "BadRequest", closed(1007, "Quota exceeded."), Throttled),
    ("upgrade 400", "BadRequest", UPGRADE.format("Bad request", 400), EngineUnavailable),
    ("upgrade 404", "ServiceError", UPGRADE.format("Internal service error", 404), EngineUnavailable),
    ("upgrade 500", "ServiceError", UPGRADE.format("Internal service error", 500), EngineUnavailable),
    ("upgrade 502", "ServiceError", UPGRADE.format("Internal service error", 502), EngineUnavailable),
    ("upgrade 503", "ServiceUnavailable", UPGRADE.format("Service unavailable", 503), EngineUnavailable),
    ("upgrade 408", "ServiceTimeout", UPGRADE.format("Timeout", 408), EngineTimeout),
    ("close 1007 bad SSML", "BadRequest", closed(1007, "Ssml should contain at least one voice tag."), InvalidInput),
    ("close 1007 voice", "BadRequest", closed(1007, "Unsupported voice en-US-FooNeural."), InvalidInput),
    ("connection refused, DNS, TLS", "ConnectionFailure", REFUSED, EngineUnavailable),
    ("reset before audio", "ConnectionFailure", RESET.format(0), EngineUnavailable),
    ("reset in mid audio", "ConnectionFailure", RESET.format(4800), EngineFailed),
    ("first chunk", "ServiceTimeout", FIRST_CHUNK, EngineTimeout),
    ("stall in mid audio", "ServiceTimeout", STALLED, EngineTimeout),
    ("stop timed out", "ServiceTimeout", "Timeout while waiting for service to stop", EngineTimeout),
    ("unavailable", "ServiceUnavailable", "", EngineUnavailable),
    ("service error", "ServiceError", "Invalid response", EngineFailed),
    ("expired token", "ConnectionFailure", closed(1008, "Token expired"), AuthenticationFailed),
    ("the SDK's own failure", "RuntimeError", "Exception with error code: 0x13", EngineFailed),
    *(
        (f"close {code} in mid audio", "ConnectionFailure", closed(code, received=4800), EngineFailed)
        for code in (1001, 1002, 1003, 1008, 1009, 1012, 4400, 4401, 4500)
    ),
    *((f"close {code}", "ServiceError", closed(code, received=4800), EngineFailed) for code in (1011, 1013)),
]


@pytest.mark.parametrize(("code", "details", "error"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_table(code: str, details: str, error: type[SpeechPoolError]) -> None:
    found = fail(code, details)
    assert type(found) is error
    assert "127.0.0.1" not in str(found)
    assert "X-ConnectionId" not in str(found)


@pytest.mark.parametrize("reason", ["Ssml is not valid", "something else"])
def test_a_refused_recognition_is_nobodys_input(reason: str) -> None:
    assert type(fail("BadRequest", closed(1007, reason), Work.RECOGNITION)) is EngineFailed


def test_a_throttled_recognition_is_throttled_whatever_its_code() -> None:
    details = closed(1007, "Throttled due to too many requests")
    assert type(fail("BadRequest", details, Work.RECOGNITION)) is Throttled


def test_what_azure_refuses_is_said_in_its_own_words() -> None:
    found = fail("BadRequest", closed(1007, "The 'foo' tag is not\n supported."), text="hello")
    assert isinstance(found, InvalidInput)
    assert (found.param, found.code) == ("input", "engine_refused")
    assert "The 'foo' tag is not supported." in str(found)


def test_an_unknown_voice_names_its_field() -> None:
    found = fail("BadRequest", closed(1007, "Unsupported voice en-US-FooNeural."))
    assert isinstance(found, InvalidInput)
    assert (found.param, found.code) == ("voice", "voice_not_found")
    assert "en-US-FooNeural" in str(found)


def test_a_reason_that_quotes_the_text_is_not_repeated() -> None:
    text = "My password is swordfish, do not tell."
    found = fail("BadRequest", closed(1007, "Cannot parse: password is swordfish, do"), text=text)
    assert "swordfish" not in str(found)
    assert "gave no reason" in str(found)


def test_a_long_reason_is_cut() -> None:
    reason = reason_of(closed(1007, "x" * 500))
    assert len(reason) == 200
    assert reason.endswith("…")


def test_messages_name_endpoint_status_and_close_code() -> None:
    assert "westeurope" in str(fail("AuthenticationFailure", UPGRADE.format("Authentication error", 401)))
    assert "status 401" in str(fail("AuthenticationFailure", UPGRADE.format("Authentication error", 401)))
    assert "close code 1011" in str(fail("ServiceError", closed(1011)))
    assert "after 4800 bytes of audio" in str(fail("ConnectionFailure", RESET.format(4800)))
    assert "there is no speech service at its path" in str(fail("ServiceError", UPGRADE.format("Not found", 404)))


def test_details_that_hold_a_key_are_not_passed_on() -> None:
    for code in ("ConnectionFailure", "AuthenticationFailure", "ServiceError", "ServiceTimeout", "RuntimeError"):
        assert KEY not in str(fail(code, f"Error details: subscription {KEY} USP state: Sending."))


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ("", 5.0),
        ("Retry after 20 seconds", 20.0),
        ("retry-after: 1.5", 1.5),
        ("Please retry after 1500 ms.", 1.5),
        ("retry after 0 seconds", 5.0),
        ("Retry after 86400 seconds", 300.0),
    ],
)
def test_retry_after(details: str, seconds: float) -> None:
    assert retry_after(details) == seconds
    error = fail("TooManyRequests", details)
    assert isinstance(error, Throttled)
    assert error.retry_after_seconds == seconds


def test_status_and_close_code_are_read_out_of_the_text() -> None:
    assert upgrade_status(UPGRADE.format("Authentication error", 401)) == 401
    assert upgrade_status(closed(1011)) is None
    assert close_code(closed(4429)) == 4429
    assert close_code(FIRST_CHUNK) is None
