"""What tells two settings apart, and what of it holds without a restart. Pure."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from speechpool.settings.knobs import Effect
from speechpool.settings.pool import POOL_KNOBS, PoolSettings
from speechpool.settings.process import HIDDEN, PROCESS_KNOBS, Settings

__all__ = ["Change", "diff", "without_restart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.

    Args:
        path: As `logLevel`, `pools[tts].warmSize`, or `pools[tts]` for a pool that comes or goes.
        old: The value before, as a file holds it; None for a pool that comes.
        new: The value after, as a file holds it; None for a pool that goes.
        effect: What it does at run time.
    """

    path: str
    old: object
    new: object
    effect: Effect


def diff(old: Settings, new: Settings) -> tuple[Change, ...]:
    """Every difference, in the order of the tables."""
    return (*_process_changes(old, new), *_pools_changes(old, new))


def without_restart(running: Settings, wanted: Settings) -> Settings:
    """What a running sidecar can make of `wanted`: what needs a restart stays as it is running."""
    fixed = {one.name: getattr(running, one.name) for one in PROCESS_KNOBS if not one.is_live}
    return dataclasses.replace(wanted, **fixed)


def _process_changes(old: Settings, new: Settings) -> Iterator[Change]:
    for one in PROCESS_KNOBS:
        before, after = getattr(old, one.name), getattr(new, one.name)
        if before != after:
            shown = [HIDDEN if one.secret and value else one.kind.to_value(value) for value in (before, after)]
            yield Change(path=one.key, old=shown[0], new=shown[1], effect=one.effect)


def _pools_changes(old: Settings, new: Settings) -> Iterator[Change]:
    before, after = ({pool.name: pool for pool in settings.pools} for settings in (old, new))
    for name in before | after:
        if name in before and name in after:
            yield from _pool_changes(before[name], after[name])
        else:
            pair = [str(pools[name].kind) if name in pools else None for pools in (before, after)]
            yield Change(path=f"pools[{name}]", old=pair[0], new=pair[1], effect=Effect.REPLACE)


def _pool_changes(old: PoolSettings, new: PoolSettings) -> Iterator[Change]:
    if old.kind is not new.kind:
        yield Change(path=f"pools[{old.name}].kind", old=str(old.kind), new=str(new.kind), effect=Effect.REPLACE)
    for one in POOL_KNOBS:
        before, after = getattr(old, one.name), getattr(new, one.name)
        if before != after and one.applies_to(new.kind):
            pair = one.kind.to_value(before), one.kind.to_value(after)
            yield Change(path=f"pools[{old.name}].{one.key}", old=pair[0], new=pair[1], effect=one.effect)
