"""The settings model: the one place of every knob, its names, bounds, default and meaning. Standard library only.

`pool.py` and `process.py` declare the knobs, `kinds.py` what values they take. `layers.py` reads what one source
sets, `resolve.py` merges the sources and checks the whole, `changes.py` tells two settings apart.
"""

from speechpool.settings.kinds import Address
from speechpool.settings.knobs import Effect, Knob, PoolKind
from speechpool.settings.pool import POOL_KNOBS, LanguageMode, PoolSettings, default_pool
from speechpool.settings.process import PROCESS_KNOBS, Settings

__all__ = [
    "POOL_KNOBS",
    "PROCESS_KNOBS",
    "Address",
    "Effect",
    "Knob",
    "LanguageMode",
    "PoolKind",
    "PoolSettings",
    "Settings",
    "default_pool",
]
