"""Faults: what goes wrong, at which point, how often. They can be set and taken back while the emulator runs."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from speechpool.errors import SettingsError
from speechpool_azure_emulator.fields import check_choice, check_integer, check_number, check_text, read

__all__ = ["ACTIONS", "POINTS", "Fault", "FaultList", "parse_faults"]

POINTS = {
    "upgrade": "before the upgrade is answered",
    "opened": "right after the upgrade",
    "idle": "the connection was open for `after_seconds` without a request under way",
    "request": "a request has come, nothing was answered yet",
    "turn_start": "`turn.start` is due",
    "audio": "`after_bytes` of the request's audio were sent (synthesis) or received (recognition)",
    "phrase": "a final phrase is due (recognition)",
    "turn_end": "`turn.end` is due",
    "voices": "the list of voices is asked for",
}
"""Where a fault can strike."""

ACTIONS = {
    "refuse": frozenset({"upgrade", "voices"}),
    "delay": frozenset(POINTS) - {"opened", "idle"},
    "ignore": frozenset({"upgrade", "voices"}),
    "close": frozenset(POINTS) - {"upgrade", "voices"},
    "reset": frozenset(POINTS),
    "hang_up": frozenset(POINTS),
    "freeze": frozenset(POINTS) - {"upgrade", "voices"},
    "garbage": frozenset(POINTS) - {"upgrade", "voices"},
    "omit": frozenset({"turn_start", "audio", "phrase", "turn_end"}),
    "status": frozenset({"phrase"}),
}
"""What a fault can do, and at which points."""

_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, two of them are the code
_MAX_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Args:
        at: The point, one of `POINTS`.
        action: "refuse" (answer with `status`), "delay" (`seconds`), "ignore" (never answer), "close" (`code`,
            `reason`), "reset" (TCP reset), "hang_up" (end of TCP without a close frame), "freeze" (the connection
            stays open, nothing is answered any more), "garbage" (frames that mean nothing, then it goes on), "omit"
            (leave out what is due; at "audio" all of it), "status" (the phrase has `recognition_status`).
        kind: "tts" or "stt" for one kind of connection, None for both.
        times: How many times it strikes, >= 1; None for always.
        after: How many times it lets pass before, >= 0.
        status: HTTP status of "refuse", 300 to 599.
        retry_after_seconds: Its Retry-After header; None for none.
        location: Its Location header, for a redirect; None for none.
        body: Its body.
        seconds: How long "delay" waits, 0 to 86,400 seconds.
        code: WebSocket close code of "close", 1000 to 4999.
        reason: Its reason, at most 123 bytes.
        after_bytes: At "audio": after how many bytes, >= 0; 0 is before the first.
        after_seconds: At "idle": after how many seconds, 0 to 86,400.
        recognition_status: Of "status": "NoMatch", "InitialSilenceTimeout", "BabbleTimeout", "Error",
            "TooManyRequests", "BadRequest", "Forbidden", "ServiceUnavailable", or anything else.

    Raises:
        SettingsError: A field is out of bounds, or the action cannot be done at that point.
    """

    at: str
    action: str
    kind: str | None = None
    times: int | None = None
    after: int = 0
    status: int = 503
    retry_after_seconds: float | None = None
    location: str | None = None
    body: str = ""
    seconds: float = 0.0
    code: int = 1011
    reason: str = ""
    after_bytes: int = 0
    after_seconds: float = 0.0
    recognition_status: str = "Error"

    def __post_init__(self) -> None:
        check_choice("at", self.at, tuple(POINTS))
        check_choice("action", self.action, tuple(ACTIONS))
        if self.at not in ACTIONS[self.action]:
            points = ", ".join(sorted(ACTIONS[self.action]))
            raise SettingsError(f"action {self.action!r} cannot be done at {self.at!r}; it can at: {points}")
        check_choice("kind", self.kind, (None, "tts", "stt"))
        self._check_counts()
        self._check_values()

    def _check_counts(self) -> None:
        if self.times is not None:
            check_integer("times", self.times, 1, 10**9)
        check_integer("after", self.after, 0, 10**9)
        check_integer("after_bytes", self.after_bytes, 0, 2**40)
        check_number("after_seconds", self.after_seconds, 0, _MAX_SECONDS)
        check_number("seconds", self.seconds, 0, _MAX_SECONDS)

    def _check_values(self) -> None:
        check_integer("status", self.status, 300, 599)
        check_integer("code", self.code, 1000, 4999)
        if self.retry_after_seconds is not None:
            check_number("retry_after_seconds", self.retry_after_seconds, 0, _MAX_SECONDS)
        if self.location is not None:
            check_text("location", self.location, 2_000)
        check_text("body", self.body, 100_000)
        check_text("reason", self.reason, _REASON_BYTES)
        check_text("recognition_status", self.recognition_status, 100)

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, name: str = "fault") -> "Fault":
        """Read a fault from JSON's types.

        Raises:
            SettingsError: Names the field that is unknown, missing, of the wrong type or out of bounds.
        """
        return read(cls, values, name, required=("at", "action"))

    def as_json(self) -> dict[str, Any]:
        """Its fields that differ from their defaults."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


class FaultList:
    """The faults in force; may be changed from any thread.

    Args:
        on_change: Called, in the changing thread, after each change.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def set(self, *faults: Fault) -> None:
        """Replace all faults, with fresh counts."""
        with self._lock:
            self._rules = [_Rule(fault) for fault in faults]
        self._on_change()

    def add(self, *faults: Fault) -> None:
        """Add faults to those in force."""
        with self._lock:
            self._rules += [_Rule(fault) for fault in faults]
        self._on_change()

    def clear(self) -> None:
        """Take all faults back."""
        self.set()

    def take(self, at: str, kind: str | None) -> list[Fault]:
        """The faults that strike now, in the order they were set; counts them."""
        with self._lock:
            return [rule.fault for rule in self._rules if rule.matches(at, kind) and rule.strikes()]

    def idle_seconds(self, kind: str) -> float | None:
        """After how many idle seconds a connection of that kind is due for a fault; None for never."""
        with self._lock:
            due = [rule.fault.after_seconds for rule in self._rules if rule.matches("idle", kind)]
        return min(due, default=None)

    def take_idle(self, kind: str, idle_seconds: float) -> list[Fault]:
        """The faults that strike a connection that has been idle for so long; counts them."""
        with self._lock:
            return [
                rule.fault
                for rule in self._rules
                if rule.matches("idle", kind) and rule.fault.after_seconds <= idle_seconds and rule.strikes()
            ]

    def as_json(self) -> list[dict[str, Any]]:
        """Each fault with how often it struck."""
        with self._lock:
            return [rule.fault.as_json() | {"struck": rule.struck} for rule in self._rules]

    def struck(self) -> int:
        """How often the faults in force struck, together."""
        with self._lock:
            return sum(rule.struck for rule in self._rules)


class _Rule:
    """A fault and its counts."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.struck = 0
        self._passed = 0

    def matches(self, at: str, kind: str | None) -> bool:
        over = self.fault.times is not None and self.struck >= self.fault.times
        return not over and self.fault.at == at and self.fault.kind in (None, kind)

    def strikes(self) -> bool:
        if self._passed < self.fault.after:
            self._passed += 1
            return False
        self.struck += 1
        return True


def parse_faults(values: Iterable[Any]) -> list[Fault]:
    """Read several faults.

    Raises:
        SettingsError: As `Fault.parse`, with the index.
    """
    return [Fault.parse(value, name=f"faults[{index}]") for index, value in enumerate(values)]
