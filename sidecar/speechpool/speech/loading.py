"""Finds an engine by its name, among the entry points of the group `speechpool.engines`."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.speech.engine import Engine

__all__ = ["ENGINE_GROUP", "engine_names", "load_engine"]

ENGINE_GROUP = "speechpool.engines"


def engine_names() -> list[str]:
    """The names of all engines that are installed, sorted."""
    return sorted(entry_points(group=ENGINE_GROUP).names)


def load_engine(name: str, options: Mapping[str, Any]) -> Engine:
    """Make the engine that the setting `engine` names; it is not opened yet.

    Args:
        name: An entry point's name: "local", "azure", a third party's.
        options: The engine's own section of the settings.

    Raises:
        SettingsError: No engine has this name, or an option is wrong.
        EngineUnavailable: Its package is broken or lacks a dependency.
    """
    found = [entry for entry in entry_points(group=ENGINE_GROUP) if entry.name == name]
    if not found:
        raise SettingsError(f"engine must be one of {', '.join(engine_names()) or '(none is installed)'}; got {name!r}")
    try:
        factory = found[0].load()
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(f"engine {name!r} cannot be loaded from {found[0].value}: {error}") from error
    engine = factory(options)
    if not isinstance(engine, Engine):
        raise EngineUnavailable(f"engine {name!r}: {found[0].value} did not return an engine")
    return engine
