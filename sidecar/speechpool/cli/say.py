"""`speechpool say`: turn text into audio with a warm client of the running sidecar."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from speechpool.cli.arguments import SESSION_HELP, add_socket_argument, factor
from speechpool.cli.measures import AudioMeter, speech_summary, tell
from speechpool.cli.progress import Progress
from speechpool.client import SidecarClient, Speech
from speechpool.errors import UsageError

__all__ = ["configure", "run"]

_FORMATS = ("wav", "mp3", "opus", "flac", "aac", "pcm", "mulaw", "alaw")
_FORMAT_BY_ENDING = {".ogg": "opus", ".raw": "pcm", ".ulaw": "mulaw", ".ul": "mulaw", ".al": "alaw"}

DESCRIPTION = """\
Turn text into audio and write it to a file or a pipe.

What the sidecar did is told on stderr: the tier of the client (dedicated: the session's own; warm: it was ready;
cold: it had to be made first; cached: none was needed), the wait for it, when the first byte came, and the real-time
factor: the seconds that it all took for each second of audio."""

EPILOG = """\
examples:
  speechpool say "Good morning." -o hello.wav
  speechpool say "Good morning." --format mp3 > hello.mp3
  speechpool say "Good morning." | aplay -q
  speechpool say --ssml - < greeting.xml -o greeting.opus"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `say`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("text", metavar="TEXT", help="what to say; `-` reads it from stdin")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="where to write the audio (default: stdout)"
    )
    parser.add_argument("--voice", help="a voice of the engine or one of OpenAI's, such as alloy or nova")
    parser.add_argument("--speed", type=factor, help="0.25 to 4.0; 1.0 is the voice's own speed")
    parser.add_argument("--format", choices=_FORMATS, help="default: what the ending of FILE says, else wav")
    parser.add_argument("--sample-rate", type=int, metavar="HZ", help="samples a second (default: the format's own)")
    parser.add_argument("--session", metavar="ID", help=f"speak with the client of this session; {SESSION_HELP}")
    parser.add_argument("--ssml", action="store_true", help="TEXT is an SSML document")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing on stderr but errors")
    add_socket_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Say it."""
    if args.output == "-" and sys.stdout.isatty():
        raise UsageError("audio is not for a terminal: give -o FILE, or pipe it into a player")
    text = _read_stdin() if args.text == "-" else args.text
    sidecar = SidecarClient(args.socket)
    with sidecar.speak(
        text,
        voice=args.voice,
        speed=args.speed,
        response_format=args.format or _format_of(args.output),
        sample_rate=args.sample_rate,
        ssml=args.ssml,
        session_id=args.session,
    ) as speech:
        meter = AudioMeter(speech.content_type)
        _write(speech, args.output, meter)
    if not args.quiet:
        tell(speech_summary(speech, meter.seconds))
    return 0


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError("the text on stdin is not UTF-8") from None


def _format_of(output: str) -> str:
    ending = Path(output).suffix.lower()
    name = _FORMAT_BY_ENDING.get(ending, ending.removeprefix("."))
    return name if name in _FORMATS else "wav"


def _write(speech: Speech, output: str, meter: AudioMeter) -> None:
    with Progress() as progress, _naming(output), _opened(output) as file:
        for chunk in speech:
            file.write(chunk)
            file.flush()
            meter.add(chunk)
            progress.show(f"{meter.seconds:.1f} s of audio" if meter.seconds else f"{speech.size_bytes:,} bytes")
        if file.seekable():
            meter.complete_header(file)


@contextlib.contextmanager
def _naming(output: str) -> Iterator[None]:
    """Let an error name what the user wrote, not the unfinished file beside it."""
    try:
        yield
    except OSError as error:
        error.filename = output if output != "-" else "stdout"
        raise


@contextlib.contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    """The place to write to; a file gets its name only when it is whole."""
    path = Path(output).resolve()
    if output == "-":
        yield sys.stdout.buffer
    elif path.exists() and not path.is_file():  # a device or a named pipe: nothing to replace
        with path.open("wb") as file:
            yield file
    else:
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with unfinished.open("xb") as file:
                yield file
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
