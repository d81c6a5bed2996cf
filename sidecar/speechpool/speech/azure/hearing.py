"""Who hears what a recogniser tells: first who opens it, then its session."""

import asyncio
from collections.abc import Callable

from speechpool.speech.azure.failures import Work, failure
from speechpool.speech.azure.recognizing import AzureRecognizing
from speechpool.speech.azure.sdk_recognizer import Canceled

__all__ = ["Hearing"]


class Hearing:
    """The state of one recogniser's connection, and the way of its events.

    Args:
        endpoint: Name of the endpoint, for people.
        lost: Called when the connection is lost before there is a session.
        reconnected: Called when the SDK opened another within a session.
    """

    def __init__(self, endpoint: str, *, lost: Callable[[], None], reconnected: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._lost = lost
        self._reconnected = reconnected
        self._opening: asyncio.Future[None] | None = None
        self._session: AzureRecognizing | None = None
        self.is_open = False
        """Whether the connection was opened and not lost before the session."""

    def expect(self) -> "asyncio.Future[None]":
        """Done when the connection is open; fails where it is refused."""
        self._opening = asyncio.get_running_loop().create_future()
        return self._opening

    def hand_over(self, session: AzureRecognizing) -> None:
        """All further events are the session's."""
        self._session = session

    def connected(self) -> None:
        """A connection is open."""
        if self._session is None:
            self.is_open = True
            if self._opening and not self._opening.done():
                self._opening.set_result(None)
        elif session := self._live:
            session.connected()
            self._reconnected()

    def disconnected(self) -> None:
        """It is lost."""
        if session := self._live:
            session.disconnected()
        elif self._session is None and self.is_open:
            self.is_open = False
            self._lost()

    def canceled(self, canceled: Canceled) -> None:
        """The recognition ends, or the connection was refused."""
        if session := self._live:
            session.canceled(canceled)
        elif self._opening and not self._opening.done():
            told = failure(canceled.code, canceled.details, work=Work.RECOGNITION, endpoint=self._endpoint)
            self._opening.set_exception(told)

    def partial(self, json: str) -> None:
        """A hypothesis came."""
        if session := self._live:
            session.partial(json)

    def phrase(self, json: str) -> None:
        """A stretch of audio is done with."""
        if session := self._live:
            session.phrase(json)

    def speech_started(self, ticks: int) -> None:
        """Speech began."""
        if session := self._live:
            session.speech_started(ticks)

    def speech_ended(self, ticks: int) -> None:
        """Speech ended."""
        if session := self._live:
            session.speech_ended(ticks)

    def stopped(self) -> None:
        """Nothing more comes."""
        if session := self._live:
            session.stopped()

    @property
    def _live(self) -> AzureRecognizing | None:
        """The session, until it is over: the SDK's events may come later still."""
        return self._session if self._session and not self._session.is_over else None
