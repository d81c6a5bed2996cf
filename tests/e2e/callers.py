"""Callers who speak all the time, over HTTP and over WebSockets, and notice whatever is not as it should be."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

from tests.integration.faults import is_whole, sentence
from tests.integration.sidecar import Sidecar
from tests.integration.talk import Talk
from websockets.asyncio.client import unix_connect

__all__ = ["Callers", "calling"]

TEXT = sentence(3, words=14)


class Callers:
    """Callers of one sidecar, each with one utterance after the other.

    Args:
        sidecar: Whom they call.
        pause_seconds: Of each between two utterances.
    """

    def __init__(self, sidecar: Sidecar, pause_seconds: float = 0.0) -> None:
        self.sidecar = sidecar
        self._pause_seconds = pause_seconds
        self.heard = {"http": 0, "websocket": 0}
        self.problems: list[str] = []
        self._reference = self._spoken()
        self._is_over = threading.Event()

    def check(self) -> None:
        """Nobody has noticed anything so far, and each has been served since the last look."""
        assert not self.problems, self.problems

    def http(self) -> None:
        """Call by HTTP, with a connection for each utterance."""
        while not self._is_over.wait(self._pause_seconds):
            self._note("http", self._spoken)

    def websocket(self) -> None:
        """Call over one WebSocket, whose session keeps one client of its own."""
        with self._noticing("websocket"):
            asyncio.run(self._talk())

    def stop(self) -> None:
        """Let each finish what it is saying."""
        self._is_over.set()

    def _spoken(self) -> bytes:
        with self.sidecar.client.speak(TEXT, response_format="pcm") as speech:
            return speech.read()

    async def _talk(self) -> None:
        path = "ws://speechpool/v1/speech/stream"
        async with unix_connect(str(self.sidecar.socket), path, max_size=None) as socket:
            talk = Talk(socket)
            while not self._is_over.is_set():
                await asyncio.sleep(self._pause_seconds)
                await talk.send("speak", input=TEXT, response_format="pcm")
                events, audio = await talk.utterance()
                assert events[-1]["type"] == "completed", events[-1]
                self._note("websocket", lambda audio=audio: audio)

    def _note(self, kind: str, spoken: Callable[[], bytes]) -> None:
        with self._noticing(kind):
            audio = spoken()
            assert is_whole(audio, self._reference), f"{len(audio)} of {len(self._reference)} bytes, or other words"
            self.heard[kind] += 1

    @contextlib.contextmanager
    def _noticing(self, kind: str) -> Iterator[None]:
        try:
            yield
        except Exception as problem:  # noqa: BLE001 -- whatever a caller notices is told
            self.problems.append(f"{kind}: {type(problem).__name__}: {problem}")


@contextlib.contextmanager
def calling(sidecar: Sidecar, *, http: int = 1, websocket: int = 0, pause_seconds: float = 0.0) -> Iterator[Callers]:
    """Callers who speak until the end of the context, and have noticed nothing then."""
    callers = Callers(sidecar, pause_seconds)
    ways = [callers.http] * http + [callers.websocket] * websocket
    threads = [threading.Thread(target=way, name="caller") for way in ways]
    for each in threads:
        each.start()
    try:
        yield callers
    finally:
        callers.stop()
        for each in threads:
            each.join()
    callers.check()
    assert bool(http) <= callers.heard["http"]
    assert bool(websocket) <= callers.heard["websocket"]
