"""The settings model: the one place of every knob, its names, bounds, default and meaning. Standard library only.

`pool.py` and `process.py` declare the knobs; `kinds.py`, `places.py`, `lists.py` and `lexicon.py` say what values they
take.
`layers.py` reads what one source sets, `resolve.py` merges the sources and checks the whole, `changes.py` tells two
settings apart.
"""

from speechpool.settings.changes import Change, diff, without_restart
from speechpool.settings.knobs import Effect, Knob, PoolKind
from speechpool.settings.layers import ALL_KNOBS, Layer, PoolEntry, Source, read_texts, read_tree, settings_error, shown
from speechpool.settings.lexicon import LexiconEntry
from speechpool.settings.places import Address
from speechpool.settings.pool import POOL_KNOBS, LanguageMode, PoolSettings, default_pool
from speechpool.settings.process import PROCESS_KNOBS, Settings
from speechpool.settings.resolve import POOL_ORDERS, PROCESS_ORDERS, Origin, Resolved, from_dict, resolve

__all__ = [
    "ALL_KNOBS",
    "POOL_KNOBS",
    "POOL_ORDERS",
    "PROCESS_KNOBS",
    "PROCESS_ORDERS",
    "Address",
    "Change",
    "Effect",
    "Knob",
    "LanguageMode",
    "Layer",
    "LexiconEntry",
    "Origin",
    "PoolEntry",
    "PoolKind",
    "PoolSettings",
    "Resolved",
    "Settings",
    "Source",
    "default_pool",
    "diff",
    "from_dict",
    "read_texts",
    "read_tree",
    "resolve",
    "settings_error",
    "shown",
    "without_restart",
]
