"""What the emulator saw: connections, utterances, recognitions, and the counts of them.

Times are `time.monotonic()` in seconds, which on Linux is one clock for all processes of a machine.
"""

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["ConnectionRecord", "Counts", "Ledger", "RecognitionRecord", "UtteranceRecord"]


@dataclass(slots=True, kw_only=True)
class ConnectionRecord:
    """One upgrade that was answered with 101, and what came of it.

    Args:
        number: Counted from 1.
        kind: "tts" or "stt".
        path: Of the request.
        query: Of the request, decoded.
        credential: "key:<name>", "token:<name>", "unknown" or "none".
        headers: The request's, without what is secret.
        asked_at: When the upgrade came.
        opened_at: When it was answered.
        closed_at: When it ended; None while it is open.
        close_code: The WebSocket close code; 1006 for an end without one, None while it is open.
        closed_by: "client", "emulator" or "".
        speech_config: The body of `speech.config`.
        requests: Utterances or turns of it.
        bytes_in: Bytes of message bodies from the client.
        bytes_out: Bytes of messages to it.
    """

    number: int
    kind: str
    path: str
    query: dict[str, str]
    credential: str
    headers: dict[str, str]
    asked_at: float
    opened_at: float
    closed_at: float | None = None
    close_code: int | None = None
    closed_by: str = ""
    speech_config: dict[str, Any] = field(default_factory=dict)
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.closed_at is None

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class UtteranceRecord:
    """One synthesis.

    Args:
        number: Counted from 1.
        connection: What it rode on.
        nth_on_connection: 1 for the connection's first.
        request_id: The client's.
        requested_at: When its text came; compare with `connection.opened_at`.
        text: What is to be said, without markup.
        ssml: As it came; empty for streamed text.
        voice: The voice that speaks first.
        format: Azure's name of the output format.
        mark: What every sample of its tone carries (see `tones`); None for real speech and compressed formats.
        context: `synthesis.context` as it came.
        pieces: How many `text.piece`s came.
        state: "running", "complete", "refused" (a voice or SSML that is wrong), "cut" (by the next), "broken" (by a
            fault, or the connection ended).
        chunks: Audio messages sent.
        audio_bytes: Bytes of audio sent.
        first_chunk_at: When the first went out; None before.
        ended_at: When it ended; None before.
    """

    number: int
    connection: ConnectionRecord
    nth_on_connection: int
    request_id: str
    requested_at: float
    text: str = ""
    ssml: str = ""
    voice: str = ""
    format: str = ""
    mark: int | None = None
    context: dict[str, Any] = field(default_factory=dict)
    pieces: int = 0
    state: str = "running"
    chunks: int = 0
    audio_bytes: int = 0
    first_chunk_at: float | None = None
    ended_at: float | None = None

    @property
    def connection_age_seconds(self) -> float:
        """How long the connection had been open when the request came."""
        return self.requested_at - self.connection.opened_at

    def as_json(self) -> dict[str, Any]:
        """All of it, the connection by its number."""
        return _flat(self) | {"connection_age_seconds": self.connection_age_seconds}


@dataclass(slots=True, kw_only=True)
class RecognitionRecord:
    """One turn of recognition.

    Args:
        number: Counted from 1.
        connection: What it rode on.
        nth_on_connection: 1 for the connection's first.
        request_id: The client's.
        requested_at: When its first audio came.
        mode: "interactive", "conversation" or "dictation".
        language: As configured.
        languages: Candidates of language identification.
        is_detailed: Whether words and alternatives are wanted.
        phrase_list: The hints.
        context: `speech.context` as it came.
        audio_format: "pcm", "mulaw" or "alaw" with its rate, as "pcm-16000".
        audio_bytes: Bytes of audio that came.
        commits: How many `audio.commit`s came.
        phrases: The final texts sent.
        hypotheses: How many hypotheses were sent.
        state: "running", "complete" or "broken".
        ended_at: When it ended; None before.
    """

    number: int
    connection: ConnectionRecord
    nth_on_connection: int
    request_id: str
    requested_at: float
    mode: str = "conversation"
    language: str = "en-US"
    languages: tuple[str, ...] = ()
    is_detailed: bool = False
    phrase_list: tuple[str, ...] = ()
    context: dict[str, Any] = field(default_factory=dict)
    audio_format: str = ""
    audio_bytes: int = 0
    commits: int = 0
    phrases: list[str] = field(default_factory=list)
    hypotheses: int = 0
    state: str = "running"
    ended_at: float | None = None

    @property
    def connection_age_seconds(self) -> float:
        """How long the connection had been open when the first audio came."""
        return self.requested_at - self.connection.opened_at

    def as_json(self) -> dict[str, Any]:
        """All of it, the connection by its number."""
        return _flat(self) | {"connection_age_seconds": self.connection_age_seconds}


def _flat(record: UtteranceRecord | RecognitionRecord) -> dict[str, Any]:
    return asdict(record) | {"connection": record.connection.number}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of what there was, since the start or the last reset.

    Args:
        upgrades: Upgrades asked for.
        upgrades_ok: Of these, answered with 101.
        upgrades_refused: Of these, answered with anything else.
        upgrades_by_path: Those answered with 101, by path.
        refusals_by_status: Refused upgrades by HTTP status.
        open_sockets: WebSockets open now.
        sockets_closed_by_client: WebSockets that the client ended.
        utterances: Syntheses asked for.
        utterances_complete: Those sent to their end.
        utterances_running: Those under way now.
        texts_ended: Texts in pieces that came to their end.
        recognitions: Turns of recognition begun.
        recognitions_complete: Those that came to their end.
        recognitions_running: Those under way now.
        voice_lists: Answered requests for the list of voices.
        tokens_issued: Tokens given out for a key.
        telemetry: `telemetry` messages.
        unknown_messages: Messages of unknown kinds, or that belong to no request.
        bytes_in: Bytes of message bodies from clients.
        bytes_out: Bytes of messages to clients.
    """

    upgrades: int = 0
    upgrades_ok: int = 0
    upgrades_refused: int = 0
    upgrades_by_path: dict[str, int] = field(default_factory=dict)
    refusals_by_status: dict[int, int] = field(default_factory=dict)
    open_sockets: int = 0
    sockets_closed_by_client: int = 0
    utterances: int = 0
    utterances_complete: int = 0
    utterances_running: int = 0
    texts_ended: int = 0
    recognitions: int = 0
    recognitions_complete: int = 0
    recognitions_running: int = 0
    voice_lists: int = 0
    tokens_issued: int = 0
    telemetry: int = 0
    unknown_messages: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """All of them."""
        return asdict(self)


class Ledger:
    """Keeps the records and the counts; written on the emulator's loop, read from any thread.

    Args:
        max_records: How many records of each kind are kept; the oldest go.
    """

    def __init__(self, max_records: int) -> None:
        self.connections: deque[ConnectionRecord] = deque(maxlen=max_records)
        self.utterances: deque[UtteranceRecord] = deque(maxlen=max_records)
        self.recognitions: deque[RecognitionRecord] = deque(maxlen=max_records)
        self._numbers = {kind: itertools.count(1) for kind in ("connection", "utterance", "recognition")}
        self._totals: Counter[str] = Counter()
        self._paths: Counter[str] = Counter()
        self._refusals: Counter[int] = Counter()
        self._open = 0
        self._running: Counter[str] = Counter()
        self._watchers: set[Callable[[], None]] = set()

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback()` on the emulator's loop after each change; returns what ends that."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def changed(self) -> None:
        """Tell who watches."""
        for callback in tuple(self._watchers):
            callback()

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of the plain counts."""
        self._totals[name] += by
        self.changed()

    def upgrade_refused(self, status: int) -> None:
        """Count an upgrade that was answered with that status."""
        self._totals["upgrades_refused"] += 1
        self._refusals[status] += 1
        self.changed()

    def connection_opened(self, **facts: Any) -> ConnectionRecord:  # noqa: ANN401 - the fields of the record
        """A new record of a connection."""
        record = ConnectionRecord(number=next(self._numbers["connection"]), opened_at=time.monotonic(), **facts)
        self.connections.append(record)
        self._totals["upgrades_ok"] += 1
        self._paths[record.path] += 1
        self._open += 1
        self.changed()
        return record

    def connection_closed(self, record: ConnectionRecord, code: int, by: str) -> None:
        """It ended."""
        record.closed_at, record.close_code, record.closed_by = time.monotonic(), code, by
        self._open -= 1
        if by == "client":
            self._totals["sockets_closed_by_client"] += 1
        self.changed()

    def utterance_begun(self, connection: ConnectionRecord, request_id: str) -> UtteranceRecord:
        """A new record of an utterance."""
        record = UtteranceRecord(**self._facts("utterance", connection, request_id))
        self.utterances.append(record)
        self.changed()
        return record

    def recognition_begun(self, connection: ConnectionRecord, request_id: str) -> RecognitionRecord:
        """A new record of a turn of recognition."""
        record = RecognitionRecord(**self._facts("recognition", connection, request_id))
        self.recognitions.append(record)
        self.changed()
        return record

    def _facts(self, kind: str, connection: ConnectionRecord, request_id: str) -> dict[str, Any]:
        connection.requests += 1
        self._totals[f"{kind}s"] += 1
        self._running[kind] += 1
        return {
            "number": next(self._numbers[kind]),
            "connection": connection,
            "nth_on_connection": connection.requests,
            "request_id": request_id,
            "requested_at": time.monotonic(),
        }

    def ended(self, record: UtteranceRecord | RecognitionRecord, state: str) -> None:
        """An utterance or a recognition ended; only the first call counts."""
        if record.ended_at is not None:
            return
        kind = "utterance" if isinstance(record, UtteranceRecord) else "recognition"
        record.state, record.ended_at = state, time.monotonic()
        self._running[kind] -= 1
        if state == "complete":
            self._totals[f"{kind}s_complete"] += 1
        self.changed()

    def counts(self) -> Counts:
        """All counts as they are now."""
        return Counts(
            **self._totals,
            upgrades_by_path=dict(self._paths),
            refusals_by_status=dict(self._refusals),
            open_sockets=self._open,
            utterances_running=self._running["utterance"],
            recognitions_running=self._running["recognition"],
        )

    def reset(self) -> None:
        """Forget everything but what is open or under way; numbers go on."""
        for records in (self.connections, self.utterances, self.recognitions):
            records.clear()
        for counter in (self._totals, self._paths, self._refusals):
            counter.clear()
        self.changed()
