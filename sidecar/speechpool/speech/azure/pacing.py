"""How far the SDK is behind what was written to it. Pure: the times are handed in.

The SDK's push stream takes any amount at once and says nothing of what it sent. So the sending is reckoned, by the
SDK's own rules: the first 5 s at once, then twice as fast as they play; as fast as they play once 33 s are not
acknowledged, until 6 s are (SpeechSDK, source/core/sr/audio_stream_session_throttle_logic.h). A result acknowledges
the audio before its end; at 66 s without one the SDK itself gives up.
"""

__all__ = ["Pace", "Timeline"]

_AT_ONCE_SECONDS = 5.0
_FAST_RATE = 1.9  # a little less than the SDK's own 2 and 1, so that an error does not add up over an hour
_SLOW_RATE = 0.95
_UNACKNOWLEDGED_SECONDS = 66.0
_SLOW_FROM = 0.50
_FAST_FROM = 0.09
_SEGMENTS = 2.2  # longest segments that the SDK keeps, where a session sets their length
_SLACK_SECONDS = 10.0  # guess: a sender that is slower than reckoned, on a machine under load


class Pace:
    """Reckons what the SDK has sent of what it was given.

    Args:
        max_ahead_seconds: Audio that may wait to be sent.
        segmentation_maximum_seconds: The session's longest segment; None for the service's own.
    """

    def __init__(self, *, max_ahead_seconds: float, segmentation_maximum_seconds: float | None = None) -> None:
        self._max_ahead_seconds = max_ahead_seconds
        self._max_unacknowledged_seconds = max(
            _UNACKNOWLEDGED_SECONDS, _SEGMENTS * (segmentation_maximum_seconds or 0.0)
        )
        self._written_seconds = 0.0
        self._sent_seconds = 0.0
        self._acknowledged_seconds = 0.0
        self._rate = _FAST_RATE
        self._reckoned_at = 0.0

    @property
    def written_seconds(self) -> float:
        """All audio written, in seconds of the service's count."""
        return self._written_seconds

    @property
    def unacknowledged_seconds(self) -> float:
        """Audio written that no result covers yet."""
        return max(0.0, self._written_seconds - self._acknowledged_seconds)

    def wrote(self, seconds: float, now: float) -> None:
        """So much was written."""
        self._reckon(now)
        self._written_seconds += seconds
        self._reckon(now)

    def acknowledged(self, end_seconds: float) -> None:
        """A result covers all audio before this second."""
        self._acknowledged_seconds = max(self._acknowledged_seconds, end_seconds)

    def ahead_seconds(self, now: float) -> float:
        """Audio written that is not sent yet."""
        self._reckon(now)
        return self._written_seconds - self._sent_seconds

    def wait_seconds(self, seconds: float, now: float) -> float:
        """How long to wait before so much more may be written; 0 for not at all.

        Where too much is not acknowledged only a result makes room: look again after the time, or at the next result.
        """
        limit_seconds = self._max_unacknowledged_seconds + self._max_ahead_seconds + _SLACK_SECONDS
        if self.unacknowledged_seconds + seconds > limit_seconds:
            return 1.0
        return max(0.0, self.ahead_seconds(now) + seconds - self._max_ahead_seconds) / self._rate

    def _reckon(self, now: float) -> None:
        self._set_rate()
        by_time = self._sent_seconds + self._rate * (now - self._reckoned_at)
        self._sent_seconds = min(self._written_seconds, max(by_time, _AT_ONCE_SECONDS))
        self._reckoned_at = now

    def _set_rate(self) -> None:
        unacknowledged_seconds = self._sent_seconds - self._acknowledged_seconds
        if unacknowledged_seconds >= _SLOW_FROM * self._max_unacknowledged_seconds:
            self._rate = _SLOW_RATE
        elif unacknowledged_seconds <= _FAST_FROM * self._max_unacknowledged_seconds:
            self._rate = _FAST_RATE


class Timeline:
    """The caller's time, where silence was written that the caller did not send."""

    def __init__(self) -> None:
        self._inserted: list[tuple[float, float]] = []

    def insert(self, at_seconds: float, seconds: float) -> None:
        """Silence was written at a second of the service's count."""
        self._inserted.append((at_seconds, seconds))

    def __call__(self, service_seconds: float) -> float:
        """The caller's second for one of the service's; within inserted silence, where it was inserted."""
        extra = sum(min(max(0.0, service_seconds - at), length) for at, length in self._inserted)
        return service_seconds - extra
