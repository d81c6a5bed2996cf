"""Every knob of a pool: its default, its bounds, and the check of them all before any takes effect."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from speechpool.errors import SettingsError

__all__ = ["HOOK_FIELDS", "PoolChanges", "PoolOptions", "PoolSettings"]

# A hook may be synchronous or asynchronous and takes the client; only its own author knows the client's class here.
Hook = Callable[..., Any]

HOOK_FIELDS = frozenset({"factory", "warm_fn", "reset_fn", "check_fn", "close_fn"})
"""The fields whose change begins a new generation of clients."""


class PoolOptions(TypedDict, total=False):
    """The optional arguments of a pool, for type checkers; `PoolSettings` has the defaults and bounds."""

    warm_fn: Hook | None
    warm_pool_size: int
    enable_background_warmup: bool
    warmup_interval_sec: float
    session_awareness: bool
    session_max_age_sec: float
    max_size: int | None
    max_waiting: int | None
    warm_pool_max: int | None
    cold_target: float
    max_creating: int | None
    max_refilling: int
    creations_per_minute: int | None
    create_timeout: float
    backoff_initial_sec: float
    backoff_max_sec: float
    circuit_failures: int
    circuit_probe_sec: float
    acquire_timeout: float | None
    max_idle_sec: float | None
    max_lifetime_sec: float | None
    keepalive_sec: float | None
    check_idle_over_sec: float
    session_grace_sec: float | None
    recycle_sessions: bool
    leak_after_sec: float | None
    reset_fn: Hook | None
    check_fn: Hook | None
    close_fn: Hook | None
    warm_timeout: float
    reset_timeout: float
    check_timeout: float
    close_timeout: float


class PoolChanges(PoolOptions, total=False):
    """What `reconfigure()` takes, for type checkers."""

    factory: Hook


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The settings of one pool, valid as a whole.

    The first group is the seed's, with the seed's defaults; the others default to what the seed did.
    Seconds are on the pool's clock. `None` means no limit, unless said otherwise.

    Raises:
        SettingsError: A value is of the wrong kind or out of its bounds; all wrong ones are named.
    """

    factory: Hook
    warm_fn: Hook | None = None
    warm_pool_size: int = 0
    enable_background_warmup: bool = False
    warmup_interval_sec: float = 30.0
    session_awareness: bool = False
    session_max_age_sec: float = 1800.0

    max_size: int | None = None
    max_waiting: int | None = None
    warm_pool_max: int | None = None
    cold_target: float = 0.01

    max_creating: int | None = None
    max_refilling: int = 4
    creations_per_minute: int | None = None
    create_timeout: float = 30.0
    backoff_initial_sec: float = 0.2
    backoff_max_sec: float = 30.0
    circuit_failures: int = 5
    circuit_probe_sec: float = 30.0

    acquire_timeout: float | None = None

    max_idle_sec: float | None = None
    max_lifetime_sec: float | None = None
    keepalive_sec: float | None = None
    check_idle_over_sec: float = 0.5

    session_grace_sec: float | None = None
    recycle_sessions: bool = False
    leak_after_sec: float | None = None

    reset_fn: Hook | None = None
    check_fn: Hook | None = None
    close_fn: Hook | None = None
    warm_timeout: float = 30.0
    reset_timeout: float = 5.0
    check_timeout: float = 5.0
    close_timeout: float = 5.0

    def __post_init__(self) -> None:
        problems = tuple(self._problems())
        if problems:
            raise SettingsError("\n".join(problems), problems=problems)

    def changed(self, changes: Mapping[str, object]) -> "PoolSettings":
        """These settings with some values replaced.

        Raises:
            SettingsError: A name is unknown or a value is wrong.
        """
        known = {field.name for field in dataclasses.fields(self)}
        unknown = tuple(f"{name} is not a setting of a pool" for name in changes if name not in known)
        if unknown:
            raise SettingsError("\n".join(unknown), problems=unknown)
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # __post_init__ checks each value

    @property
    def grace_sec(self) -> float:
        """How long a stale session's client is kept, in seconds; by default as long as it took to go stale."""
        return self.session_max_age_sec if self.session_grace_sec is None else self.session_grace_sec

    @property
    def keep_window_sec(self) -> float:
        """How far back the largest number of clients out at once is remembered, in seconds.

        Without `max_idle_sec` it is 240: speech services close what idles for five minutes.
        """
        return self.max_idle_sec or 240.0

    def _problems(self) -> list[str]:
        problems = []
        for name, rule in _RULES.items():
            problem = rule(getattr(self, name))
            if problem:
                problems.append(f"{name} must be {problem}, got {_shown(getattr(self, name))}")
        return problems


Rule = Callable[[object], str | None]


def _shown(value: object) -> str:
    # A wrong value may be an object whose repr is long or holds a secret.
    return repr(value) if isinstance(value, bool | int | float | None) else f"a {type(value).__name__}"


def _integer(low: int, *, optional: bool = False) -> Rule:
    bound = f"a whole number >= {low}" + (" or None" if optional else "")

    def rule(value: object) -> str | None:
        if value is None and optional:
            return None
        return None if isinstance(value, int) and not isinstance(value, bool) and value >= low else bound

    return rule


def _seconds(*, zero: bool = False, optional: bool = False) -> Rule:
    bound = f"a finite number of seconds {'>=' if zero else '>'} 0" + (" or None" if optional else "")

    def rule(value: object) -> str | None:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return bound
        return None if value > 0 or (zero and value == 0) else bound

    return rule


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "True or False"


def _share(value: object) -> str | None:
    inside = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
    return None if inside else "a share > 0 and < 1"


def _function(value: object) -> str | None:
    return None if callable(value) else "callable"


def _optional_function(value: object) -> str | None:
    return None if value is None or callable(value) else "callable or None"


_RULES: dict[str, Rule] = {
    "factory": _function,
    "warm_fn": _optional_function,
    "warm_pool_size": _integer(0),
    "enable_background_warmup": _flag,
    "warmup_interval_sec": _seconds(),
    "session_awareness": _flag,
    "session_max_age_sec": _seconds(),
    "max_size": _integer(1, optional=True),
    "max_waiting": _integer(0, optional=True),
    "warm_pool_max": _integer(0, optional=True),
    "cold_target": _share,
    "max_creating": _integer(1, optional=True),
    "max_refilling": _integer(1),
    "creations_per_minute": _integer(1, optional=True),
    "create_timeout": _seconds(),
    "backoff_initial_sec": _seconds(),
    "backoff_max_sec": _seconds(),
    "circuit_failures": _integer(1),
    "circuit_probe_sec": _seconds(),
    "acquire_timeout": _seconds(optional=True),
    "max_idle_sec": _seconds(optional=True),
    "max_lifetime_sec": _seconds(optional=True),
    "keepalive_sec": _seconds(optional=True),
    "check_idle_over_sec": _seconds(zero=True),
    "session_grace_sec": _seconds(zero=True, optional=True),
    "recycle_sessions": _flag,
    "leak_after_sec": _seconds(optional=True),
    "reset_fn": _optional_function,
    "check_fn": _optional_function,
    "close_fn": _optional_function,
    "warm_timeout": _seconds(),
    "reset_timeout": _seconds(),
    "check_timeout": _seconds(),
    "close_timeout": _seconds(),
}
