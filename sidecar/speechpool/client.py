"""A client of the sidecar's socket, for programs that need no more than the standard library.

    with SidecarClient() as sidecar, sidecar.speak("Good morning.") as speech:
        Path("morning.wav").write_bytes(speech.read())

`openai_client()` gives the official `openai` client over the same socket.
"""

import contextlib
import http.client
import importlib
import json
import secrets
import socket
import time
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ParamSpec, TypeVar
from urllib.parse import quote

from speechpool.errors import SidecarRefused, SidecarUnreachable, SpeechBrokenOff
from speechpool.socket_path import connect_first, first_answering, socket_candidates

if TYPE_CHECKING:
    import openai

__all__ = [
    "SidecarClient",
    "SidecarRefused",
    "SidecarUnreachable",
    "Speech",
    "SpeechBrokenOff",
    "Transcript",
    "async_openai_client",
    "openai_client",
]

P = ParamSpec("P")
T = TypeVar("T")

_BASE_URL = "http://speechpool/v1"  # the host is never looked up: the connection is the socket

READ_BYTES = 65_536
"""How much is read or sent at once: the pipe size of Linux (pipe(7))."""


class Speech:
    """Audio on its way: iterate it for the chunks as they come, or `read()` it whole.

    Args:
        reply: The sidecar's reply, its body not read yet.
        asked_at: When the request was sent, on the monotonic clock, in seconds.
    """

    def __init__(self, reply: http.client.HTTPResponse, asked_at: float) -> None:
        self._reply = reply
        self._asked_at = asked_at
        self.content_type = reply.headers.get("Content-Type", "")
        self.tier = _tier(reply)
        self.wait_seconds = _wait_seconds(reply)
        self.request_id = reply.headers.get("x-request-id", "")
        self.first_byte_seconds: float | None = None
        self.total_seconds: float | None = None
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield each chunk as soon as it is there.

        Raises:
            SpeechBrokenOff: The audio ended before its end.
        """
        while chunk := _translated(self._reply.read1, READ_BYTES):
            if self.first_byte_seconds is None:
                self.first_byte_seconds = time.monotonic() - self._asked_at
            self.size_bytes += len(chunk)
            yield chunk
        self.total_seconds = time.monotonic() - self._asked_at

    def read(self) -> bytes:
        """Wait for all of the audio; raises as iterating does."""
        return b"".join(self)


class Transcript:
    """What was understood.

    Args:
        reply: The sidecar's reply.
        body: Its whole body.
        total_seconds: From the request to the end of the answer.
    """

    def __init__(self, reply: http.client.HTTPResponse, body: bytes, total_seconds: float) -> None:
        self.body = body.decode()
        self.total_seconds = total_seconds
        self.tier = _tier(reply)
        self.wait_seconds = _wait_seconds(reply)

    def json(self) -> Any:  # noqa: ANN401 # JSON has no narrower type
        """The answer, where `response_format` was json or verbose_json."""
        return json.loads(self.body)


class SidecarClient:
    """Speaks to one sidecar. Each request has a connection of its own, so threads may share it.

    Args:
        socket_path: The sidecar's socket; by default the first of `socket_candidates()` that answers.
        timeout_seconds: The longest silence of the sidecar that is waited for, in seconds; > 0. Default: a guess, above
            the sidecar's own limits for finding a client (10 s) and for a first chunk (10 s).
    """

    def __init__(self, socket_path: str | Path | None = None, *, timeout_seconds: float = 30.0) -> None:
        self._candidates = (Path(socket_path),) if socket_path else socket_candidates()
        self._timeout_seconds = timeout_seconds

    @contextlib.contextmanager
    def speak(
        self,
        text: str,
        *,
        voice: str | None = None,
        speed: float | None = None,
        response_format: str = "wav",
        sample_rate: int | None = None,
        ssml: bool = False,
        session_id: str | None = None,
    ) -> Iterator[Speech]:
        """Say something; leaving the context before the end of the audio stops the synthesis.

        Args:
            text: What to say: plain text, or a whole SSML document where `ssml`.
            voice: A voice of `GET /v1/audio/voices`; the sidecar's default where None.
            speed: 0.25 to 4.0; 1.0 where None.
            response_format: wav, pcm, mulaw, alaw, mp3, opus, flac or aac.
            sample_rate: Samples a second: 8000, 16000, 24000 or 48000; the format's own where None.
            ssml: Whether `text` is SSML.
            session_id: Speak with this session's own client; it is opened where it is not open.

        Raises:
            SidecarUnreachable: No sidecar answers.
            SidecarRefused: The sidecar does not accept the request, or cannot serve it now.
        """
        fields = {
            "model": "speechpool",
            "input": text,
            "voice": voice,
            "speed": speed,
            "response_format": response_format,
            "sample_rate": sample_rate,
            "input_type": "ssml" if ssml else "text",
            "session_id": session_id,
        }
        body = json.dumps({key: value for key, value in fields.items() if value is not None}).encode()
        asked_at = time.monotonic()
        with self._request("POST", "/v1/audio/speech", body, "application/json") as reply:
            yield Speech(reply, asked_at)

    def transcribe(
        self,
        audio: BinaryIO,
        *,
        filename: str = "audio",
        response_format: str = "json",
        language: str | None = None,
        phrases: Sequence[str] = (),
        grammar: Sequence[str] = (),
        words: bool = False,
        session_id: str | None = None,
    ) -> Transcript:
        """Turn a recording into text.

        Args:
            audio: The recording, open for reading; sent as it is read.
            filename: Its name; the ending helps to tell the format.
            response_format: json, text, verbose_json, srt or vtt.
            language: BCP 47 tag; the pool's own where None.
            phrases: Words and phrases that are likely.
            grammar: The only sentences there can be.
            words: Whether the times of the words are wanted (`verbose_json`).
            session_id: Listen with this session's own client; it is opened where it is not open.

        Raises:
            SidecarUnreachable: No sidecar answers.
            SidecarRefused: The sidecar does not accept the recording, or cannot serve it now.
        """
        single = {
            "model": "speechpool",
            "response_format": response_format,
            "language": language,
            "session_id": session_id,
        }
        fields = [(name, value) for name, value in single.items() if value is not None]
        fields += [("phrases[]", phrase) for phrase in phrases] + [("grammar[]", sentence) for sentence in grammar]
        fields += [("timestamp_granularities[]", "word")] if words else []
        boundary = secrets.token_hex(16)
        body = _multipart(boundary, fields, audio, filename)
        asked_at = time.monotonic()
        with self._request(
            "POST", "/v1/audio/transcriptions", body, f"multipart/form-data; boundary={boundary}"
        ) as reply:
            answer = _translated(reply.read)
            return Transcript(reply, answer, time.monotonic() - asked_at)

    def get_json(self, path: str) -> Any:  # noqa: ANN401 # JSON has no narrower type
        """Read one of the sidecar's JSON pages: `/v1/pools`, `/v1/sessions`, `/v1/config`, `/v1/audio/voices`.

        Raises:
            SidecarUnreachable: No sidecar answers.
            SidecarRefused: There is no such page.
        """
        with self._request("GET", path) as reply:
            return _json(reply)

    def create_session(self, session_id: str) -> None:
        """Give a session clients of its own; raises as `get_json` does."""
        self._change("PUT", session_id)

    def delete_session(self, session_id: str) -> None:
        """Clear a session and release its clients; raises as `get_json` does."""
        self._change("DELETE", session_id)

    def not_ready_reason(self, *, or_started: bool = False) -> str | None:
        """Why the sidecar is not ready yet, or None where it is.

        Args:
            or_started: Whether it is enough that it was ready once, or that its startup wait is over.

        Raises:
            SidecarUnreachable: No sidecar answers.
        """
        with self._request("GET", "/readyz", accepted=(200, 503)) as reply:
            answer = _json(reply)
        if reply.status == 200 or (or_started and answer["started"]):
            return None
        return "; ".join(f"{reason['component']}: {reason['message']}" for reason in answer["reasons"])

    def _change(self, method: str, session_id: str) -> None:
        with self._request(method, f"/v1/sessions/{quote(session_id, safe='')}") as reply:
            _translated(reply.read)

    @contextlib.contextmanager
    def _request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        content_type: str | None = None,
        accepted: Container[int] = range(400),
    ) -> Iterator[http.client.HTTPResponse]:
        with contextlib.closing(_connected(self._candidates, self._timeout_seconds)) as connection:
            # a sidecar that refuses an upload answers and closes before it has read everything
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
            with _translated(connection.getresponse) as reply:
                if reply.status not in accepted:
                    raise _refusal(reply)
                yield reply


def openai_client(
    socket_path: str | Path | None = None,
    **options: Any,  # noqa: ANN401 # openai's own arguments
) -> "openai.OpenAI":
    """The official `openai` client over the sidecar's socket.

    Args:
        socket_path: The sidecar's socket; by default the first of `socket_candidates()` that answers, else the last.
        options: Passed to `openai.OpenAI`, for example `timeout` or `max_retries`.

    Raises:
        ImportError: `openai` is not installed: `pip install speechpool[openai]`.
    """
    module, transport = _openai_and_its_transport()
    http_client = transport.Client(transport=transport.HTTPTransport(uds=str(_present(socket_path))))
    client: openai.OpenAI = module.OpenAI(base_url=_BASE_URL, api_key="unused", http_client=http_client, **options)
    return client


def async_openai_client(
    socket_path: str | Path | None = None,
    **options: Any,  # noqa: ANN401 # openai's own arguments
) -> "openai.AsyncOpenAI":
    """As `openai_client`, for asyncio."""
    module, transport = _openai_and_its_transport()
    http_client = transport.AsyncClient(transport=transport.AsyncHTTPTransport(uds=str(_present(socket_path))))
    client: openai.AsyncOpenAI = module.AsyncOpenAI(
        base_url=_BASE_URL, api_key="unused", http_client=http_client, **options
    )
    return client


def _openai_and_its_transport() -> tuple[Any, Any]:
    module = importlib.import_module("openai")
    # openai 3 replaced httpx by httpx2 (its dependency `httpx2>=2.12`); each takes only its own client
    is_old = int(module.__version__.partition(".")[0]) < 3
    return module, importlib.import_module("httpx" if is_old else "httpx2")


def _present(socket_path: str | Path | None) -> Path:
    return Path(socket_path) if socket_path else first_answering(socket_candidates())


class _UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a socket that is connected already."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__("speechpool")
        self.sock = connected


def _connected(candidates: Sequence[Path], timeout_seconds: float) -> _UnixConnection:
    try:
        return _UnixConnection(connect_first(candidates, timeout_seconds))
    except PermissionError as error:
        raise SidecarUnreachable(
            f"this user may not use the socket {error.filename}: see its mode and group (SPEECHPOOL_SOCKET_MODE, "
            "SPEECHPOOL_SOCKET_GROUP) and who owns its directory"
        ) from error
    except OSError as error:
        places = " or ".join(map(str, candidates))
        raise SidecarUnreachable(
            f"no sidecar answers at {places}: start one with `speechpool serve`, or name its socket in "
            "SPEECHPOOL_SOCKET"
        ) from error


def _translated(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return call(*args, **kwargs)
    except TimeoutError as error:
        raise SpeechBrokenOff("the sidecar sent nothing for longer than the time limit") from error
    except (http.client.HTTPException, ConnectionError) as error:
        raise SpeechBrokenOff("the sidecar broke off in the middle of its answer") from error


def _json(reply: http.client.HTTPResponse) -> Any:  # noqa: ANN401 # JSON has no narrower type
    try:
        return json.loads(_translated(reply.read))
    except ValueError as error:
        raise SpeechBrokenOff("what answers at the socket is not a SpeechPool sidecar") from error


def _refusal(reply: http.client.HTTPResponse) -> SidecarRefused:
    body = _translated(reply.read)
    try:
        error = json.loads(body)["error"]
        return SidecarRefused(error["message"], status=reply.status, code=error.get("code"), param=error.get("param"))
    except (ValueError, KeyError, TypeError):
        return SidecarRefused(f"the sidecar answered {reply.status} {reply.reason}", status=reply.status)


def _tier(reply: http.client.HTTPResponse) -> str:
    return reply.headers.get("X-SpeechPool-Tier", "")


def _wait_seconds(reply: http.client.HTTPResponse) -> float:
    return float(reply.headers.get("X-SpeechPool-Wait-Ms", 0)) / 1000


def _multipart(boundary: str, fields: Sequence[tuple[str, str]], audio: BinaryIO, filename: str) -> Iterator[bytes]:
    for name, value in fields:
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    quoted = filename.translate({ord("\r"): "%0D", ord("\n"): "%0A", ord('"'): "%22"})  # as browsers do (WHATWG HTML)
    yield f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'.encode()
    while chunk := audio.read(READ_BYTES):
        yield chunk
    yield f"\r\n--{boundary}--\r\n".encode()
