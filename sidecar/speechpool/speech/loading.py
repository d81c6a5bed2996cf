"""Finds an engine by its name, among the entry points of the group `speechpool.engines`."""

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.settings.layers import nearest
from speechpool.speech.engine import Engine

__all__ = ["ENGINE_GROUP", "engine_names", "load_engine", "unread_options"]

ENGINE_GROUP = "speechpool.engines"


def engine_names() -> list[str]:
    """The names of all engines that are installed, sorted."""
    return sorted(entry_points(group=ENGINE_GROUP).names)


def unread_options(sections: Iterable[str], engine: str) -> list[str]:
    """A warning for each section of the setting `engines` that is no installed engine's.

    Args:
        sections: The names in `engines`.
        engine: The one that is used; not looked for again.
    """
    if not (others := set(sections) - {engine}):
        return []
    known = engine_names()
    return [
        f"engines.{name} has no effect: no engine of this name is installed, only {', '.join(known)}."
        f"{nearest(name, known)}"
        for name in sorted(others.difference(known))
    ]


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
