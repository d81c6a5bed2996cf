"""Sessions: each has clients of its own, and does one thing of a kind at a time."""

import asyncio
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from speechpool.audio.formats import response_format as named_format
from speechpool.errors import NotFound, PoolClosed, QuotaExceeded, SessionBusy
from speechpool.service.events import Played
from speechpool.service.requests import check_session_id
from speechpool.service.selection import choose_recognition, choose_synthesis
from speechpool.service.session_facts import CancelResult, SessionInfo
from speechpool.service.speech_pools import SpeechPool
from speechpool.settings import PoolKind

if TYPE_CHECKING:
    from speechpool.service.context import Context

__all__ = ["NO_CLAIM", "Activity", "CancelResult", "Claim", "SessionInfo", "Sessions"]


class Activity(StrEnum):
    """What a session can do, one of each at a time."""

    SPEAKING = "speaking"
    LISTENING = "listening"


class Activable(Protocol):
    """What is under way in a session."""

    async def abort(self, error: BaseException) -> None:
        """End it with an error for its consumer."""


class Speaker(Activable, Protocol):
    """An utterance under way."""

    async def cancel(self) -> Played:
        """Stop it; what went out."""


@dataclass(slots=True)
class _Hold:
    pool: SpeechPool[Any]
    tier: str | None


@dataclass(slots=True)
class _Session:
    id: str
    began_at: float
    used_at: float
    is_kept: bool = False  # by PUT: its clients are held in advance
    holds: dict[PoolKind, _Hold] = field(default_factory=dict)
    active: dict[Activity, Any] = field(default_factory=dict)
    counts: dict[Activity, int] = field(default_factory=lambda: dict.fromkeys(Activity, 0))


class Claim:
    """A session's right to do one thing; without a session, nothing.

    Args:
        sessions: Where the session is.
        session: The session, or None.
        activity: What it does.
    """

    def __init__(self, sessions: "Sessions | None", session: _Session | None, activity: Activity) -> None:
        self._sessions = sessions
        self._session = session
        self._activity = activity

    def bound_pool(self, kind: PoolKind) -> SpeechPool[Any] | None:
        """The pool that the session's client of this kind is from, while that pool is in force."""
        return self._sessions.bound_pool(self._session, kind) if self._session and self._sessions else None

    def bind(self, pool: SpeechPool[Any], tier: str) -> None:
        """The session's client is from this pool."""
        if self._session and pool.pool.session_awareness_enabled:
            self._session.holds[pool.kind] = _Hold(pool, tier)

    def replace_client(self, kind: PoolKind) -> None:
        """The session's client cannot serve again: a session that was put gets another, in the background."""
        if self._session and self._sessions:
            self._sessions.replace(self._session, kind)

    def release(self) -> None:
        """The thing is done; safe to repeat."""
        if self._session and self._sessions:
            self._sessions.done(self._session, self._activity)
            self._session = None


NO_CLAIM = Claim(None, None, Activity.SPEAKING)
"""What a use has before it claims its session, and without one."""


class Sessions:
    """All sessions of the service.

    A session begins with `put()` or with its first use; it ends with `delete()`, or once it is idle for longer than its
    pools keep it (`session_max_age_sec` and the grace after it).

    Args:
        context: What all uses share.
    """

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._sessions: dict[str, _Session] = {}

    def __len__(self) -> int:
        """How many there are."""
        self._sweep()
        return len(self._sessions)

    # --- what users do ---

    async def put(
        self,
        session_id: str,
        *,
        tts_pool: str | None = None,
        stt_pool: str | None = None,
        language: str | None = None,
        response_format: str | None = None,
    ) -> SessionInfo:
        """Let a session have a client of each kind of its own, acquired now; again: keep what it has.

        Args:
            session_id: 1 to 128 letters, digits, dots, underscores, colons or hyphens.
            tts_pool: Name of the pool to speak with; None to choose by `response_format`.
            stt_pool: Name of the pool to listen with; None to choose by `language`.
            language: BCP 47 tag, or its language alone.
            response_format: The format its audio will mostly have; None for PCM.

        Raises:
            InvalidInput: The id, the format or the language is wrong.
            NotFound: No such pool.
            QuotaExceeded: There are `max_sessions` already.
            PoolError: No client could be acquired, or the service drains; what was acquired is given back.
        """
        check_session_id(session_id)
        self._context.check_open()
        wanted = self._wanted(tts_pool, stt_pool, language, response_format)
        is_new = session_id not in self._sessions
        session = self._enter(session_id)
        session.is_kept = True
        try:
            await self._hold_all(session, wanted)
            self._context.check_open()  # a session whose clients come after the last work was taken is of no use
        except BaseException:
            if is_new and not session.active:
                self._forget(session)
                self._context.background.spawn(self._let_go(session, wanted), "let a session go")
            raise
        session.used_at = self._context.clock()
        return self._info(session)

    def get(self, session_id: str) -> SessionInfo:
        """What a session is.

        Raises:
            NotFound: There is no such session.
        """
        return self._info(self._known(session_id))

    def list(self) -> Sequence[SessionInfo]:
        """All sessions, oldest first."""
        self._sweep()
        return [self._info(session) for session in self._sessions.values()]

    async def cancel(self, session_id: str) -> CancelResult:
        """Barge-in: stop what the session says; it keeps its client.

        Raises:
            NotFound: There is no such session.
        """
        session = self._known(session_id)
        session.used_at = self._context.clock()
        speaker: Speaker | None = session.active.get(Activity.SPEAKING)
        if speaker is None:
            return CancelResult(
                canceled=False, audio_seconds_sent=0.0, text_sent="", characters_sent=0, estimated=False
            )
        played = await speaker.cancel()
        return CancelResult(
            canceled=True,
            audio_seconds_sent=played.audio_seconds,
            text_sent=played.text,
            characters_sent=played.characters,
            estimated=played.estimated,
        )

    async def delete(self, session_id: str) -> Played | None:
        """End a session and what it does; its clients are cleared and given back.

        Returns:
            What was being said went out so far; None where nothing was.

        Raises:
            NotFound: There is no such session.
        """
        session = self._known(session_id)
        self._forget(session)
        # A caller that goes away half-way must not leave a client with a session that nobody can name any more.
        return await asyncio.shield(self._context.background.spawn(self._finish(session), "end a session"))

    # --- what uses do ---

    def claim(self, session_id: str | None, activity: Activity, stream: Activable) -> Claim:
        """Let a session do something; it begins where it is new.

        Raises:
            InvalidInput: The id is wrong.
            SessionBusy: It does that already.
            QuotaExceeded: It is new, and there are `max_sessions` already.
        """
        if session_id is None:
            return NO_CLAIM
        check_session_id(session_id)
        session = self._enter(session_id)
        if activity in session.active:
            raise SessionBusy(
                f"session {session_id!r} is {activity} already; cancel that, wait for its end, or use another session",
                param="session_id",
                code="session_busy",
            )
        session.active[activity] = stream
        session.counts[activity] += 1
        return Claim(self, session, activity)

    def done(self, session: _Session, activity: Activity) -> None:
        """The session does it no longer."""
        session.active.pop(activity, None)
        session.used_at = self._context.clock()
        if not session.holds and not session.active and not session.is_kept:
            self._forget(session)  # it never got a client of its own: nothing is left of it

    def bound_pool(self, session: _Session, kind: PoolKind) -> SpeechPool[Any] | None:
        """The pool that the session's client of this kind is from, while that pool is in force."""
        hold = session.holds.get(kind)
        return hold.pool if hold and self._context.pools.is_in_force(hold.pool) else None

    def replace(self, session: _Session, kind: PoolKind) -> None:
        """The session's client is gone: acquire another, if the session was put."""
        hold = session.holds.pop(kind, None)
        if hold and session.is_kept and self._sessions.get(session.id) is session and self._context.is_accepting:
            self._context.background.spawn(self._hold(session, hold.pool), "hold a client for a session")

    async def end_idle(self) -> None:
        """End the sessions that do nothing now."""
        idle = [session for session in self._sessions.values() if not session.active]
        for session in idle:
            self._forget(session)
        await asyncio.gather(*(self._finish(session) for session in idle))

    # --- steps ---

    def _enter(self, session_id: str) -> _Session:
        self._sweep()
        now = self._context.clock()
        if session := self._sessions.get(session_id):
            session.used_at = now
            return session
        limit = self._context.settings.max_sessions
        if len(self._sessions) >= limit:
            raise QuotaExceeded(
                f"there are max_sessions = {limit} sessions already; delete one first",
                retry_after_seconds=1.0,
                param="session_id",
                code="too_many_sessions",
            )
        session = self._sessions[session_id] = _Session(session_id, now, now)
        return session

    def _known(self, session_id: str) -> _Session:
        check_session_id(session_id)
        self._sweep()
        try:
            return self._sessions[session_id]
        except KeyError:
            raise NotFound(
                f"there is no session {session_id!r}; PUT it first", param="session_id", code="session_not_found"
            ) from None

    def _forget(self, session: _Session) -> None:
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]

    def _sweep(self) -> None:
        """Forget what the pools gave up: their stale sweep ends the clients, this ends the names."""
        now = self._context.clock()
        for session in [each for each in self._sessions.values() if self._is_stale(each, now)]:
            self._forget(session)

    def _is_stale(self, session: _Session, now: float) -> bool:
        if session.active:
            return False
        pools = [hold.pool for hold in session.holds.values()] or self._context.pools.all
        return now - session.used_at > max(map(_kept_seconds, pools), default=0.0)

    def _wanted(
        self, tts_pool: str | None, stt_pool: str | None, language: str | None, response_format: str | None
    ) -> Sequence[SpeechPool[Any]]:
        pools, settings = self._context.pools, self._context.settings
        wanted: MutableSequence[SpeechPool[Any]] = []
        if pools.synthesis or tts_pool:
            target = named_format(response_format or "pcm")
            wanted.append(choose_synthesis(pools.synthesis, target, tts_pool, param="tts_pool"))
        if pools.recognition or stt_pool:
            default = settings.default_language
            wanted.append(choose_recognition(pools.recognition, language, default, stt_pool, param="stt_pool"))
        return wanted

    async def _hold_all(self, session: _Session, wanted: Sequence[SpeechPool[Any]]) -> None:
        missing = [pool for pool in wanted if self.bound_pool(session, pool.kind) is None]
        results = await asyncio.gather(*(self._hold(session, pool) for pool in missing), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error

    async def _hold(self, session: _Session, pool: SpeechPool[Any]) -> None:
        if pool.pool.session_awareness_enabled:
            tier = await pool.hold(session.id)
            session.holds[pool.kind] = _Hold(pool, tier.value)

    async def _finish(self, session: _Session) -> Played | None:
        """End what the session does, then give its clients back."""
        ended = PoolClosed("the session was deleted")
        speaker: Speaker | None = session.active.get(Activity.SPEAKING)
        listener: Activable | None = session.active.get(Activity.LISTENING)
        try:
            if listener:
                await listener.abort(ended)
            return await speaker.cancel() if speaker else None
        finally:
            await self._let_go(session, [hold.pool for hold in session.holds.values()])

    async def _let_go(self, session: _Session, pools: Sequence[SpeechPool[Any]]) -> None:
        session.holds.clear()
        await asyncio.gather(*(pool.let_go(session.id) for pool in pools))

    def _info(self, session: _Session) -> SessionInfo:
        now = self._context.clock()
        tts, stt = (session.holds.get(kind) for kind in PoolKind)
        return SessionInfo(
            id=session.id,
            state=_state(session.active),
            tts_pool=tts.pool.name if tts else None,
            tts_tier=tts.tier if tts else None,
            stt_pool=stt.pool.name if stt else None,
            stt_tier=stt.tier if stt else None,
            age_seconds=now - session.began_at,
            idle_seconds=0.0 if session.active else now - session.used_at,
            utterances=session.counts[Activity.SPEAKING],
            recognitions=session.counts[Activity.LISTENING],
        )


def _state(active: dict[Activity, Any]) -> str:
    if len(active) == len(Activity):
        return "both"
    return next(iter(active), "idle")


def _kept_seconds(pool: SpeechPool[Any]) -> float:
    settings = pool.settings
    return settings.session_max_age_sec + settings.session_grace_sec
