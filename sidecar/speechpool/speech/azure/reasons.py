"""Why an endpoint opens no connection, told by what it answers to plain requests. Pure."""

import http.client
import re
import socket
import ssl

from speechpool.errors import AuthenticationFailed, EngineTimeout, EngineUnavailable, SpeechError, Throttled
from speechpool.speech.azure.failures import DEFAULT_RETRY_AFTER_SECONDS
from speechpool.speech.azure.requester import Reply

__all__ = ["reason_of_error", "reason_of_reply", "reason_of_upgrade"]


def reason_of_reply(reply: Reply, *, endpoint: str, setting: str, has_credential: bool = True) -> SpeechError | None:
    """What a status says of any request, or None where it says nothing against the endpoint.

    Args:
        reply: What it answered.
        endpoint: Its name, for people.
        setting: Where its credential comes from, for people.
        has_credential: Whether one was shown.
    """
    if reply.status in {401, 403} and not has_credential:
        return AuthenticationFailed(
            f"Azure ({endpoint}) wants a credential and none is set (status {reply.status}): set AZURE_SPEECH_KEY, "
            "AZURE_SPEECH_KEY_FILE or AZURE_SPEECH_RESOURCE_ID"
        )
    if reply.status in {401, 403}:
        return AuthenticationFailed(
            f"Azure ({endpoint}) refused {setting} (status {reply.status}): "
            "check that it belongs to the Speech resource of this region or endpoint"
        )
    if reply.status == 407:
        return EngineUnavailable(f"Azure ({endpoint}) cannot be reached: the proxy wants a user and password")
    if reply.status == 429:
        return Throttled(f"Azure ({endpoint}) asks for fewer requests", retry_after_seconds=_retry_after(reply))
    if reply.status >= 500:
        return EngineUnavailable(f"Azure ({endpoint}) is out of order (status {reply.status})")
    return None


def reason_of_upgrade(reply: Reply, *, endpoint: str, url: str, waited_seconds: float) -> SpeechError:
    """What an endpoint says when it is asked for a WebSocket, and the status itself is not the reason.

    Args:
        reply: What it answered.
        endpoint: Its name, for people.
        url: Where it was asked.
        waited_seconds: How long the client had waited for its connection.
    """
    if reply.status == 101:
        return EngineTimeout(
            f"Azure ({endpoint}) opened no connection within {waited_seconds:g} s, but does so now: the network or the "
            "service is slow; raise engines.azure.connectTimeoutSeconds if that stays"
        )
    path = url.partition("?")[0]
    if reply.status == 404:
        return EngineUnavailable(
            f"Azure ({endpoint}) has no speech service at {path} (status 404): correct the endpoint"
        )
    return EngineUnavailable(
        f"{endpoint} speaks no WebSocket at {path} (status {reply.status}): correct the endpoint, or let the proxy "
        "before it pass WebSockets"
    )


def reason_of_error(error: BaseException, *, endpoint: str, waited_seconds: float) -> SpeechError:
    """What it means that a request got no answer.

    Args:
        error: What the request raised.
        endpoint: The endpoint's name, for people.
        waited_seconds: How long an answer was waited for.
    """
    return EngineUnavailable(f"Azure ({endpoint}) cannot be reached: {_of_error(error, waited_seconds)}")


def _of_error(error: BaseException, waited_seconds: float) -> str:
    match error:
        case socket.gaierror():
            return "its name cannot be resolved (DNS); correct the region or the endpoint, or the pod's DNS"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message}); set SSL_CERT_FILE to its CA's"
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or "no reason given"  # only OpenSSL's own errors have one
            return f"TLS failed ({reason}); ws:// and http:// are for endpoints without TLS"
        case ConnectionRefusedError():
            return "the connection is refused; is something listening there?"
        case TimeoutError():
            return f"no answer within {waited_seconds:g} s; a firewall may drop it"
        case http.client.HTTPException():
            return "what answers there speaks no HTTP; correct the endpoint"
        case OSError():
            return _of_os_error(error)
    return type(error).__name__


def _of_os_error(error: OSError) -> str:
    if "Tunnel connection failed: 407" in str(error):
        return "the proxy wants a user and password, or refuses those of engines.azure.proxy"
    if found := re.search(r"Tunnel connection failed: (\d{3})", str(error)):
        return f"the proxy refuses to connect (status {found[1]})"
    return error.strerror or type(error).__name__


def _retry_after(reply: Reply) -> float:
    """Seconds; a date (which HTTP allows too) and nonsense count as nothing said."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = reply.headers.get(name, "")
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text) and float(text) > 0:
            return float(text) / unit
    return DEFAULT_RETRY_AFTER_SECONDS
