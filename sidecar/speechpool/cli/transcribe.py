"""`speechpool transcribe`: turn a recording into text with a warm client of the running sidecar."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from speechpool.cli.arguments import SESSION_HELP, add_socket_argument
from speechpool.cli.measures import tell, transcript_summary
from speechpool.cli.progress import Progress
from speechpool.client import SidecarClient
from speechpool.errors import UsageError

__all__ = ["configure", "run"]

DESCRIPTION = """\
Turn a recording into text.

WAV goes in as it is; mp3, opus, flac and others where the extra `codecs` is installed. The offline engine
understands English, and free dictation only roughly: tell it what can be said (--sentence) and it becomes exact."""

EPILOG = """\
examples:
  speechpool transcribe question.wav
  speechpool transcribe meeting.mp3 --format srt > meeting.srt
  speechpool transcribe order.wav --sentence "one coffee please" --sentence "the bill please"
  speechpool say "what time is it" | speechpool transcribe -"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `transcribe`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("file", metavar="FILE", help="the recording; `-` reads it from stdin")
    parser.add_argument(
        "--format",
        choices=("text", "json", "verbose_json", "srt", "vtt"),
        default="text",
        help="text; json; verbose_json with times; or subtitles (default: text)",
    )
    parser.add_argument("--language", metavar="TAG", help="such as en-US (default: the pool's own)")
    parser.add_argument("--phrase", action="append", default=[], help="a phrase that is likely; may be repeated")
    parser.add_argument(
        "--sentence", action="append", default=[], help="one of the only sentences there can be; may be repeated"
    )
    parser.add_argument("--words", action="store_true", help="with the times of the words (verbose_json)")
    parser.add_argument("--session", metavar="ID", help=f"listen with the client of this session; {SESSION_HELP}")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing on stderr but errors")
    add_socket_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Transcribe it."""
    if args.words and args.format != "verbose_json":
        raise UsageError("--words needs --format verbose_json: no other format has the times of words")
    with Progress() as progress, _opened(args.file) as audio:
        transcript = SidecarClient(args.socket).transcribe(
            _Watched(audio, progress),  # type: ignore[arg-type] # only read() is used
            filename=Path(args.file).name if args.file != "-" else "stdin",
            response_format=args.format,
            language=args.language,
            phrases=args.phrase,
            grammar=args.sentence,
            words=args.words,
            session_id=args.session,
        )
    print(transcript.body.rstrip("\n"))
    if not args.quiet:
        tell(transcript_summary(transcript, None))
    return 0


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BufferedReader]:
    with os.fdopen(sys.stdin.fileno(), "rb", closefd=False) if path == "-" else Path(path).open("rb") as file:
        yield file


class _Watched:
    """A recording that shows how much of it was sent; of a pipe, what is there is sent at once."""

    def __init__(self, audio: BufferedReader, progress: Progress) -> None:
        self._audio = audio
        self._progress = progress
        self._size_bytes = os.fstat(audio.fileno()).st_size
        self._sent_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        chunk = self._audio.read1(size_bytes)
        self._sent_bytes += len(chunk)
        share = f" of {self._size_bytes:,}" if self._size_bytes else ""
        self._progress.show(f"sent {self._sent_bytes:,}{share} bytes" if chunk else "listening...")
        return chunk
