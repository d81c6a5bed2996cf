"""What each change of a setting does to a pool in use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .clock import NEVER
from .settings import HOOK_FIELDS

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["reconfigure"]

T = TypeVar("T")

AGE_FIELDS = frozenset({"max_idle_sec", "max_lifetime_sec", "keepalive_sec"})


def reconfigure(engine: "Engine[T]", changes: Mapping[str, object]) -> dict[str, Any]:
    """Apply changed settings together, or none of them; the old values.

    Raises:
        SettingsError: A name is unknown or a value wrong; nothing was changed.
    """
    old, new = engine.settings, engine.settings.changed(changes)
    before = {name: getattr(old, name) for name in changes}
    changed = {name for name, value in before.items() if value != getattr(new, name)}
    now = engine.clock.now()
    engine.settings = new
    engine.hooks.settings = new  # the limits of hooks; functions change by generation
    engine.stock.max_size = new.max_size
    if "warmup_interval_sec" in changed:
        engine.restart_cycle()
    if changed & AGE_FIELDS:
        engine.ages.renew()
    if changed & {"warm_pool_size", "warm_pool_max", "enable_background_warmup"}:
        engine.set_target(new.warm_pool_size if "warm_pool_size" in changed else None, now)
    for item in engine.stock.surplus(engine.stock.target if "warm_pool_size" in changed else NEVER):
        engine.returns.close(item, "surplus")
    if not new.session_awareness and old.session_awareness:
        engine.sessions.forget()
    if changed & HOOK_FIELDS:
        engine.lifecycle.renew_generation()
    if engine.clock.has_loop:
        engine.tend(now)
    if changed:
        engine.tell("reconfigured", changes=tuple(sorted(changed)))
    return before
