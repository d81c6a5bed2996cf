"""The decoding process: one upload of any container to PCM, then its end.

Run as `python -m speechpool.audio.decode_worker` by `speechpool.audio.decoding`. What it reads comes from anyone, so it
serves one upload only, can open no file and no socket, and has its memory and processor time bounded by the kernel.
"""

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

from speechpool.audio.protocol import (
    DECODING_STREAM,
    DecodingSpec,
    Refusal,
    RefusedError,
    Reply,
    Request,
    pack_audio,
)
from speechpool.workers.child import Channel, run

__all__ = ["main"]

_CHUNK_BYTES = 32_768
_PCM_BYTES = 2
_NO_PYAV = "this file needs PyAV to be decoded: install speechpool[codecs], or send wav"

_Decoded = Callable[[bytes, DecodingSpec], Iterator[bytes]]


def main(channel: Channel, arguments: list[str]) -> None:  # noqa: ARG001 - every worker's main is called with both
    """Decode one upload."""
    decoded = _load()
    channel.ready()
    spec, upload = _receive(channel)
    _limit(spec)
    try:
        _send(channel, decoded(upload, spec), spec.credit)
    except RefusedError as error:
        channel.send(DECODING_STREAM, Reply.ERROR, error.refusal.encode())
    else:
        channel.send(DECODING_STREAM, Reply.DONE)


def _load() -> _Decoded:
    try:
        from speechpool.audio import decoder  # noqa: PLC0415 - loads PyAV, an extra
    except ImportError:
        return _without_pyav
    decoder.load()
    return decoder.decoded


def _without_pyav(upload: bytes, spec: DecodingSpec) -> Iterator[bytes]:  # noqa: ARG001 - in the place of `decoded`
    raise RefusedError(Refusal(_NO_PYAV, code="unsupported_format", param="file"))


def _receive(channel: Channel) -> tuple[DecodingSpec, bytes]:
    spec = DecodingSpec.decode(channel.receive().payload)
    upload = bytearray()
    while (frame := channel.receive()).kind != Request.FINISH:
        upload += frame.payload
    return spec, bytes(upload)


def _limit(spec: DecodingSpec) -> None:
    """Let the kernel hold what follows: no new file or socket, nothing written, bounded time and memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime) + spec.cpu_seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    with contextlib.suppress(FileNotFoundError):  # only Linux tells the present size so
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + spec.memory_bytes
    limits[resource.RLIMIT_NOFILE] = 0  # last: what is open stays open
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _send(channel: Channel, pieces: Iterator[bytes], credit: int) -> None:
    """Send the audio in chunks while there is credit: a consumer that stops taking stops this process."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        while len(chunk) >= _CHUNK_BYTES:
            credit = _send_chunk(channel, bytes(chunk[:_CHUNK_BYTES]), credit)
            del chunk[:_CHUNK_BYTES]
    if chunk:
        _send_chunk(channel, bytes(chunk), credit)


def _send_chunk(channel: Channel, chunk: bytes, credit: int) -> int:
    while credit == 0:
        channel.receive()  # nothing but CREDIT comes any more
        credit += 1
    channel.send(DECODING_STREAM, Reply.AUDIO, pack_audio(len(chunk) // _PCM_BYTES, chunk))
    return credit - 1


if __name__ == "__main__":
    run(main)
