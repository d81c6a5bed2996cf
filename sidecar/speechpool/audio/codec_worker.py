"""The codec worker: a process that resamples and encodes many streams of trusted audio, one slice at a time.

Run as `python -m speechpool.audio.codec_worker` by `speechpool.audio.workers`. Its libraries are loaded when a stream
first needs them: soxr (LGPL-2.1-or-later) and numpy for other rates and layouts, PyAV for mp3, opus, flac and aac.
PyAV's wheel carries FFmpeg with GPL codecs: that is why it is in the extra `codecs`, and in a process of its own.
"""

import os

from speechpool.audio.pipeline import Pipeline
from speechpool.audio.protocol import Refusal, Reply, Request, StreamSpec, pack_audio
from speechpool.workers.child import Channel, run
from speechpool.workers.frames import Frame

__all__ = ["main"]


def main(channel: Channel, arguments: list[str]) -> None:  # noqa: ARG001 - every worker's main is called with both
    """Serve requests until the sidecar closes the channel."""
    # Read when numpy is imported: its linear algebra, which nothing uses here, takes a thread for each processor.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    streams: dict[int, Pipeline] = {}
    channel.ready()
    while True:
        frame = channel.receive()
        try:
            reply = _answer(streams, frame)
        except Exception as error:  # noqa: BLE001 - whatever ails one stream must not end the others
            streams.pop(frame.stream, None)
            channel.send(frame.stream, Reply.ERROR, _refusal(error).encode())
        else:
            if reply is not None:
                channel.send(frame.stream, Reply.AUDIO, reply)


def _answer(streams: dict[int, Pipeline], frame: Frame) -> bytes | None:
    if frame.kind == Request.CLOSE:
        if frame.stream in streams:
            streams.pop(frame.stream).close()
        return None
    if frame.kind == Request.OPEN:
        streams[frame.stream] = Pipeline(StreamSpec.decode(frame.payload))
        return pack_audio(0, b"")
    if frame.kind == Request.FEED:
        return pack_audio(*streams[frame.stream].feed(frame.payload))
    return pack_audio(*streams.pop(frame.stream).finish())


def _refusal(error: Exception) -> Refusal:
    """Which library is missing, or what kind of error it was: its message could quote what it was working on."""
    if not isinstance(error, ImportError):
        return Refusal(f"the codec failed: {type(error).__name__}")
    if (error.name or "").partition(".")[0] == "av":
        message = "response_format needs PyAV: install speechpool[codecs], or ask for wav, pcm, mulaw or alaw"
        return Refusal(message, code="unsupported_format", param="response_format")
    return Refusal(f"other sample rates need {error.name}: install speechpool[sidecar]")


if __name__ == "__main__":
    run(main)
