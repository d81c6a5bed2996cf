"""What is told of sessions."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CancelResult", "SessionInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What can be known of a session.

    Args:
        id: Its id.
        state: "idle", "speaking", "listening" or "both".
        tts_pool: Name of the pool that its speaking client is from; None while it has none.
        tts_tier: How that client was come by when the session got it.
        stt_pool: As `tts_pool`, for listening.
        stt_tier: As `tts_tier`, for listening.
        age_seconds: Since it began.
        idle_seconds: Since it was last used; 0 while it is.
        utterances: How many it began.
        recognitions: How many it began.
    """

    id: str
    state: str
    tts_pool: str | None
    tts_tier: str | None
    stt_pool: str | None
    stt_tier: str | None
    age_seconds: float
    idle_seconds: float
    utterances: int
    recognitions: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id,
            "object": "session",
            "state": self.state,
            "tts": self.tts_pool and {"pool": self.tts_pool, "tier": self.tts_tier},
            "stt": self.stt_pool and {"pool": self.stt_pool, "tier": self.stt_tier},
            "age_seconds": round(self.age_seconds, 3),
            "idle_seconds": round(self.idle_seconds, 3),
            "utterances": self.utterances,
            "recognitions": self.recognitions,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelResult:
    """What a barge-in stopped.

    Args:
        canceled: Whether something was being said.
        audio_seconds_sent: Audio that went out of it.
        text_sent: The text of that audio. Never logged.
        characters_sent: Its length.
        estimated: Whether the text is proportional to the audio, because the engine tells no word times.
    """

    canceled: bool
    audio_seconds_sent: float
    text_sent: str = field(repr=False)
    characters_sent: int
    estimated: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "canceled": self.canceled,
            "audio_seconds_sent": round(self.audio_seconds_sent, 3),
            "text_sent": self.text_sent,
            "characters_sent": self.characters_sent,
            "estimated": self.estimated,
        }
