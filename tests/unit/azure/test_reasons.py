"""Why an endpoint opens no connection."""

import http.client
import socket
import ssl

import pytest

from speechpool.errors import AuthenticationFailed, EngineUnavailable, SpeechError, Throttled
from speechpool.speech.azure.reasons import reason_of_error, reason_of_reply, reason_of_upgrade
from speechpool.speech.azure.requester import Reply


def of_reply(status: int, *, has_credential: bool = True, **headers: str) -> SpeechError | None:
    known = {name.replace("_", "-"): value for name, value in headers.items()}
    return reason_of_reply(
        Reply(status=status, headers=known),
        endpoint="westeurope",
        setting="AZURE_SPEECH_KEY",
        has_credential=has_credential,
    )


def of_upgrade(status: int) -> str:
    url = "wss://host/cognitiveservices/websocket/v1"
    return str(reason_of_upgrade(Reply(status=status), endpoint="host", url=url, waited_seconds=5.0))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_named_by_its_setting(status: int) -> None:
    reason = of_reply(status)

    assert isinstance(reason, AuthenticationFailed)
    assert f"refused AZURE_SPEECH_KEY (status {status})" in str(reason)


def test_a_missing_credential_is_told_apart() -> None:
    reason = of_reply(401, has_credential=False)

    assert isinstance(reason, AuthenticationFailed)
    assert "wants a credential and none is set" in str(reason)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 5.0),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 5.0),
        ({"retry_after": "0"}, 5.0),
        ({"retry_after": "-3"}, 5.0),
    ],
)
def test_throttling_says_when_to_try_again(headers: dict[str, str], seconds: float) -> None:
    reason = of_reply(429, **headers)

    assert isinstance(reason, Throttled)
    assert reason.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_service_out_of_order_is_tried_again_later(status: int) -> None:
    assert f"out of order (status {status})" in str(of_reply(status))


@pytest.mark.parametrize("status", [101, 200, 302, 400, 404])
def test_other_statuses_say_nothing_against_the_endpoint(status: int) -> None:
    assert of_reply(status) is None


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (101, "opened no connection within 5 s, but does so now"),
        (404, "no speech service at wss://host/cognitiveservices/websocket/v1 (status 404): correct the endpoint"),
        (200, "speaks no WebSocket"),
        (400, "speaks no WebSocket"),
        (302, "speaks no WebSocket"),
    ],
)
def test_the_upgrade_tells_what_the_status_means(status: int, says: str) -> None:
    assert says in of_upgrade(status)


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved (DNS)"),
        (ConnectionRefusedError(111, "Connection refused"), "the connection is refused"),
        (TimeoutError("timed out"), "no answer within 5 s"),
        (untrusted(), "certificate is not trusted (self-signed certificate); set SSL_CERT_FILE"),
        (ssl.SSLError(1, "wrong version number"), "TLS failed"),
        (http.client.BadStatusLine("RTSP/1.0"), "speaks no HTTP"),
        (OSError("Tunnel connection failed: 407 Proxy Authentication Required"), "the proxy wants a user and password"),
        (OSError("Tunnel connection failed: 403 Forbidden"), "the proxy refuses to connect (status 403)"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_what_went_wrong_on_the_way_is_told_with_what_to_do(error: Exception, says: str) -> None:
    reason = reason_of_error(error, endpoint="westeurope", waited_seconds=5.0)

    assert isinstance(reason, EngineUnavailable)
    assert str(reason).startswith("Azure (westeurope) cannot be reached: ")
    assert says in str(reason)
