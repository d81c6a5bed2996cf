"""How long a recognition waits for Azure, and for what. Pure: the times are handed in.

Silence on a quiet line is no failure, so no time is counted but in what the service owes:

- a turn begins with its first audio: the service says so at once;
- after at most 33 s of audio there is a result or a no-match (SpeechSDK,
  source/core/sr/audio_stream_session_throttle_logic.h: the SDK's own limit rests on it);
- a connection that was lost is opened again;
- the end of the audio is answered.
"""

from collections.abc import Iterator
from enum import Enum

__all__ = ["CommitStep", "Commits", "Patience"]

NEVER = float("inf")

_SEGMENT_SHARE = 1.2  # a result may come this much later than its segment is long; a guess


class Patience:
    """What the service owes at present, and until when.

    Args:
        answer_seconds: For the beginning of the turn, from the first audio on.
        silent_seconds: For an event of any kind: this much audio was written, and this long ago it began.
        reconnect_seconds: For a connection in place of one that was lost.
        end_seconds: For the next event after the end of the audio, beyond the time that the untold audio plays.
        segmentation_maximum_seconds: The session's longest segment; None for the service's own.
    """

    def __init__(
        self,
        *,
        answer_seconds: float,
        silent_seconds: float,
        reconnect_seconds: float,
        end_seconds: float,
        segmentation_maximum_seconds: float | None = None,
    ) -> None:
        self._answer_seconds = answer_seconds
        self._silent_seconds = max(silent_seconds, _SEGMENT_SHARE * (segmentation_maximum_seconds or 0.0))
        self._reconnect_seconds = reconnect_seconds
        self._end_seconds = end_seconds
        self._first_written_at: float | None = None
        self._untold_since: float | None = None
        self._untold_seconds = 0.0
        self._answered = False
        self._lost_at: float | None = None
        self._end_due_at: float | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the service has said anything of this recognition."""
        return self._answered

    def wrote(self, seconds: float, now: float) -> None:
        """So much audio was written."""
        if self._first_written_at is None:
            self._first_written_at = now
        if self._untold_since is None:
            self._untold_since = now
        self._untold_seconds += seconds

    def answered(self) -> None:
        """The turn has begun."""
        self._answered = True

    def heard(self, now: float) -> None:
        """An event came, of whatever kind."""
        self._answered = True
        self._untold_since = None
        self._untold_seconds = 0.0
        if self._end_due_at is not None:
            self._end_due_at = max(self._end_due_at, now + self._end_seconds)

    def lost(self, now: float) -> None:
        """The connection is lost; the SDK opens another."""
        self._lost_at = now

    def connected(self) -> None:
        """There is a connection again."""
        self._lost_at = None

    def finished(self, now: float, unacknowledged_seconds: float) -> None:
        """No more audio comes; so much has no result yet, and is heard as fast as it plays, at worst."""
        self._end_due_at = now + self._end_seconds + unacknowledged_seconds

    def deadlines(self, *, shows_turns: bool) -> Iterator[tuple[float, str]]:
        """When what is owed is overdue, and in which words.

        Args:
            shows_turns: Whether the beginning of a turn can be seen.
        """
        if self._lost_at is not None:
            yield self._lost_at + self._reconnect_seconds, f"did not come back within {self._reconnect_seconds:g} s"
        if shows_turns and not self._answered and self._first_written_at is not None:
            yield (
                self._first_written_at + self._answer_seconds,
                f"did not answer within {self._answer_seconds:g} s of the first audio",
            )
        if self._untold_since is not None and self._untold_seconds >= self._silent_seconds:
            yield self._untold_since + self._silent_seconds, f"said nothing of {self._silent_seconds:g} s of audio"
        if self._end_due_at is not None:
            yield self._end_due_at, "told nothing after the end of the audio"


class CommitStep(Enum):
    """What to do of a commit that was not answered in time."""

    WRITE_SILENCE = "write silence"
    ANSWER = "answer"


class Commits:
    """The commit that has no result yet; a later one takes the place of an earlier.

    Args:
        wait_seconds: Until it counts as not answered.
    """

    def __init__(self, *, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._token = 0
        self._step = CommitStep.WRITE_SILENCE
        self.due_at = NEVER
        """When it counts as not answered."""

    def asked(self, token: int, now: float) -> None:
        """The service was asked by the SDK's own commit."""
        self._token = token
        self._step = CommitStep.WRITE_SILENCE
        self.due_at = now + self._wait_seconds

    def silenced(self, seconds: float, now: float) -> None:
        """So much silence was written, which ends the segment."""
        self._token = 0
        self._step = CommitStep.ANSWER
        self.due_at = now + seconds + self._wait_seconds

    def settle(self, token: int, *, has_text: bool) -> None:
        """A result came: any with text ends what is waited for, one without text only as the answer itself."""
        if has_text or (token and token >= self._token):
            self.due_at = NEVER

    def overdue(self) -> CommitStep:
        """Wait no longer: what to do now."""
        self.due_at = NEVER
        return self._step
