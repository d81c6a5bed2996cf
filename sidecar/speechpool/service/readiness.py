"""Whether the service can do its work, and why not."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from speechpool.service.speech_pools import SpeechPool

__all__ = ["Readiness", "Reason", "not_warm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the service is not ready.

    Args:
        component: "engine", "service", or the name of a pool.
        reason: One word: `NotWarm`, `Draining`, `EngineProblem`, or the class of what the engine failed to open with
            (`EngineUnavailable`, `AuthenticationFailed`).
        message: What that means here.
    """

    component: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What probes are told.

    Args:
        ready: Whether work can be done at once.
        started: Whether it was ready once, or `startup_wait_seconds` have passed since the start.
        reasons: Why it is not ready; empty when it is.
    """

    ready: bool
    started: bool
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ready": self.ready, "started": self.started, "reasons": [asdict(reason) for reason in self.reasons]}


def not_warm(pools: Iterable[SpeechPool[Any]]) -> list[Reason]:
    """A reason for each pool that is not warm."""
    return [_cold(pool) for pool in pools if not pool.pool.ready]


def _cold(pool: SpeechPool[Any]) -> Reason:
    facts = pool.pool.snapshot()
    message = f"{facts['warm_pool_size']} of {facts['warm_pool_target']} clients are warm"
    if error := facts["creation"]["last_error"]:
        message += f"; the last could not be made: {error}"
    return Reason(component=pool.name, reason="NotWarm", message=message)
