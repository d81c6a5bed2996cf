"""Merging what all sources set into one whole, and checking how its values relate to each other. Pure."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechpool.settings.knobs import Knob, PoolKind
from speechpool.settings.layers import Layer, PoolEntry, Source, read_tree, settings_error
from speechpool.settings.pool import POOL_KNOBS, LanguageMode, PoolSettings
from speechpool.settings.process import PROCESS_KNOBS, Settings

__all__ = ["POOL_ORDERS", "PROCESS_ORDERS", "Origin", "Resolved", "from_dict", "resolve"]

DEFAULT_POOLS = (
    PoolEntry(name="tts", kind=PoolKind.TEXT_TO_SPEECH),
    PoolEntry(name="stt", kind=PoolKind.SPEECH_TO_TEXT),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from.

    Args:
        source: The source that won.
        name: What it is called there, as `SPEECH_POOL_WARM_SIZE` or `pools[1].warmSize`; empty for a default, but for
            that of an engine, as `engine azure`.
    """

    source: Source
    name: str = ""


DEFAULT = Origin(Source.DEFAULT)

Found = dict[str, tuple[Any, Origin]]
"""By a setting's Python name its value, and where that comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The settings in force and where each came from.

    Args:
        settings: The whole.
        provenance: By path, as `socket` or `pools[tts].warmSize`.
    """

    settings: Settings
    provenance: Mapping[str, Origin]


def resolve(layers: Iterable[Layer]) -> Resolved:
    """Merge layers: the strongest source that sets a value wins, and what it leaves out shows through from below.

    For a pool's value the sources are asked in turn, each first for the pool's own value, then for the value of every
    pool. The strongest source that has `pools` says which pools there are.

    Args:
        layers: At most one of each source, in any order; defaults need none.

    Raises:
        SettingsError: The values do not fit together; all problems are listed.
    """
    strongest_first = sorted(layers, key=lambda layer: layer.source.strength, reverse=True)
    merge = _Merge(strongest_first)
    settings = merge.settings()
    if problems := [*_pool_problems(settings, merge.provenance), *_process_problems(settings, merge.provenance)]:
        raise settings_error(problems)
    return Resolved(settings=settings, provenance=merge.provenance)


def from_dict(tree: Mapping[str, Any]) -> Settings:
    """The settings that a file with this content makes of the defaults; the reverse of `Settings.to_dict()`.

    Raises:
        SettingsError: Names or values are wrong; all are listed.
    """
    return resolve([read_tree(tree)]).settings


class _Merge:
    """One merge: the layers, and the provenance found on the way."""

    def __init__(self, strongest_first: Sequence[Layer]) -> None:
        self.layers = strongest_first
        self.shared = [(layer, dict(_shared(layer))) for layer in strongest_first]
        self.engine = ""
        self.provenance: dict[str, Origin] = {}

    def settings(self) -> Settings:
        values: dict[str, Any] = {one.name: self.process_value(one) for one in PROCESS_KNOBS}
        if self.provenance["engine"].source is Source.DEFAULT:
            values["engine"] = _default_engine(values)
        self.engine = values["engine"]
        pools = tuple(self.pool(one, values["default_language"]) for one in self.pool_entries())
        return Settings(**values, pools=pools)

    def process_value(self, knob: Knob) -> object:
        for layer in self.layers:
            if knob.name in layer.values:
                self.provenance[knob.key] = Origin(layer.source, _written(knob, layer.source))
                return layer.values[knob.name]
        self.provenance[knob.key] = DEFAULT
        return knob.default

    def pool_entries(self) -> tuple[PoolEntry, ...]:
        for layer in self.layers:
            if layer.pools is not None:
                self.provenance["pools"] = Origin(layer.source, "pools")
                return layer.pools
        self.provenance["pools"] = DEFAULT
        return DEFAULT_POOLS

    def pool(self, entry: PoolEntry, default_language: str) -> PoolSettings:
        found, path = self.found(entry), f"pools[{entry.name}]."
        values: dict[str, Any] = dict(_foreign(entry.kind))
        for name, key in _own(entry.kind):
            values[name], self.provenance[path + key] = found[name]
        languages = f"{path}languages"
        if self.provenance.get(languages) == DEFAULT:
            values["languages"] = (default_language,)
            self.provenance[languages] = self.provenance["defaultLanguage"]
        return PoolSettings(name=entry.name, kind=entry.kind, **values)

    def found(self, entry: PoolEntry) -> Found:
        """The value of each setting of the pool: what is stronger is written over what is weaker."""
        found = dict(_pool_defaults(entry.kind, self.engine))
        for layer, shared in reversed(self.shared):
            found |= shared
            for own in layer.pools or ():
                if (own.name, own.kind) == (entry.name, entry.kind):
                    found |= {
                        name: (value, Origin(layer.source, f"{own.path}.{_BY_NAME[name].key}"))
                        for name, value in own.values.items()
                    }
        return found


def _shared(layer: Layer) -> Iterator[tuple[str, tuple[Any, Origin]]]:
    for knob in POOL_KNOBS:
        if knob.name in layer.values:
            yield knob.name, (layer.values[knob.name], Origin(layer.source, _written(knob, layer.source)))


@functools.cache
def _own(kind: PoolKind) -> tuple[tuple[str, str], ...]:
    """The Python names and the keys of the settings that a pool of the kind has."""
    return tuple((one.name, one.key) for one in POOL_KNOBS if one.applies_to(kind))


@functools.cache
def _foreign(kind: PoolKind) -> dict[str, object]:
    """Those that it has not, which are never asked for."""
    return {one.name: one.default for one in POOL_KNOBS if not one.applies_to(kind)}


@functools.lru_cache(maxsize=16)
def _pool_defaults(kind: PoolKind, engine: str) -> Found:
    of_engine = Origin(Source.DEFAULT, f"engine {engine}")
    return {
        one.name: (one.default_of(kind, engine), of_engine if engine in one.engine_defaults else DEFAULT)
        for one in POOL_KNOBS
    }


def _written(knob: Knob, source: Source) -> str:
    """The knob's name in this source."""
    if source is Source.ENVIRONMENT:
        return knob.env or knob.key
    return (knob.flag or knob.key) if source is Source.FLAG else knob.key


def _default_engine(values: Mapping[str, Any]) -> str:
    """Azure where the settings say where it is; a region serves nobody without a credential, a container does."""
    options = values["engines"].get("azure", {})
    names = ("azure_speech_key", "azure_speech_key_file", "azure_speech_resource_id")
    credential = any(values[name] for name in names) or options.get("keyFile") or options.get("resourceId")
    region = values["azure_speech_region"] or options.get("region")
    endpoint = values["azure_speech_endpoint"] or options.get("endpoint") or options.get("endpoints")
    return "azure" if endpoint or (region and credential) else "local"


# --- relations -----------------------------------------------------------------------------------------------------

Provenance = Mapping[str, Origin]

POOL_ORDERS = (
    ("warm_pool_size", "max_size"),
    ("warm_pool_size", "warm_pool_max"),
    ("warm_pool_max", "max_size"),
)
"""Settings of a pool, by Python name, of which the first is at most the second where neither is off."""

PROCESS_ORDERS = (
    ("max_upload_bytes", "max_upload_total_bytes"),
    ("upload_stall_seconds", "upload_timeout_seconds"),
    ("first_chunk_timeout_seconds", "utterance_timeout_seconds"),
    ("chunk_gap_timeout_seconds", "utterance_timeout_seconds"),
)
"""Settings of the whole sidecar, likewise."""


def _pool_problems(settings: Settings, provenance: Provenance) -> Iterable[str]:
    for pool in settings.pools:
        path = f"pools[{pool.name}]."
        for small, large in POOL_ORDERS:
            yield from _at_most(pool, path, small, large, provenance)
        yield from _language_problems(pool, path, provenance)


def _language_problems(pool: PoolSettings, path: str, provenance: Provenance) -> Iterable[str]:
    if pool.kind is not PoolKind.SPEECH_TO_TEXT:
        return
    count, languages = len(pool.languages), _cited(pool, path, "languages", provenance)
    if pool.language_mode is LanguageMode.SINGLE and count != 1:
        yield f"{languages} has {count} languages, and languageMode Single takes one. Set languageMode: Detect."
    if pool.language_mode is LanguageMode.DETECT and count < 2:
        yield f"{languages} has one language, and languageMode Detect takes 2 to 10. Add one, or set it to Single."


def _process_problems(settings: Settings, provenance: Provenance) -> Iterable[str]:
    for small, large in PROCESS_ORDERS:
        yield from _at_most(settings, "", small, large, provenance)
    yield from _listen_problems(settings, provenance)


def _listen_problems(settings: Settings, provenance: Provenance) -> Iterable[str]:
    token, token_file = settings.listen_token is not None, settings.listen_token_file is not None
    if token and token_file:
        second = _cited(settings, "", "listen_token_file", provenance)
        yield f"SPEECHPOOL_LISTEN_TOKEN and {second} are both set, and only one can hold. Remove one."
    if settings.listen is None:
        return
    listen = _cited(settings, "", "listen", provenance)
    if not token and not token_file:
        yield (
            f"{listen} needs a bearer token: set SPEECHPOOL_LISTEN_TOKEN (16 to 512 characters) or "
            "SPEECHPOOL_LISTEN_TOKEN_FILE, or set listen to off."
        )
    if settings.listen == settings.telemetry_address and settings.listen.port:
        telemetry = _cited(settings, "", "telemetry_address", provenance)
        yield f"{telemetry} must differ from {listen}. Give one of them another port."


def _at_most(
    owner: Settings | PoolSettings, path: str, small: str, large: str, provenance: Provenance
) -> Iterable[str]:
    least, most = getattr(owner, small), getattr(owner, large)
    if least is not None and most is not None and least > most:
        where = f" in pool {owner.name}" if isinstance(owner, PoolSettings) else ""
        first, second = (_cited(owner, path, name, provenance) for name in (small, large))
        yield f"{first} must be at most {second}{where}. Lower the first or raise the second."


def _cited(owner: Settings | PoolSettings, path: str, name: str, provenance: Provenance) -> str:
    """A value with its name as its user wrote it: `SPEECH_POOL_WARM_SIZE (100)`."""
    knob = _BY_NAME[name]
    origin = provenance[path + knob.key]
    value = knob.kind.to_value(getattr(owner, name))
    value = ", ".join(value) if isinstance(value, list) else value
    return f"{origin.name} ({value})" if origin.source is not Source.DEFAULT else f"{knob.key} ({value}, the default)"


_BY_NAME = {one.name: one for one in PROCESS_KNOBS + POOL_KNOBS}
