"""Engines by their entry points."""

from importlib import metadata

import pytest

from speechpool.errors import EngineUnavailable, SettingsError
from speechpool.speech import loading
from speechpool.speech.engine import Engine
from speechpool.speech.loading import engine_names, load_engine


@pytest.fixture
def installed(monkeypatch):
    """Adds entry points that a third party could have."""

    def install(name: str, value: str) -> None:
        entry = metadata.EntryPoint(name=name, value=value, group=loading.ENGINE_GROUP)
        known = metadata.entry_points(group=loading.ENGINE_GROUP)
        monkeypatch.setattr(loading, "entry_points", lambda group: metadata.EntryPoints([*known, entry]))

    return install


def test_the_local_engine_is_found_and_not_yet_open():
    engine = load_engine("local", {})
    assert isinstance(engine, Engine)
    assert engine.name == "local"
    assert list(engine.voices) == []
    with pytest.raises(EngineUnavailable, match="not open"):
        engine.resolve_voice("alloy")


def test_an_unknown_engine_is_refused_with_the_known_ones():
    assert "local" in engine_names()
    with pytest.raises(SettingsError, match=r"engine must be one of .*local.*; got 'telepathy'"):
        load_engine("telepathy", {})


def test_options_reach_the_engine():
    with pytest.raises(SettingsError, match=r"engines\.local\.wordsPerMinute must be an integer from 80 to 450; got 5"):
        load_engine("local", {"wordsPerMinute": 5})


@pytest.mark.parametrize(
    ("value", "reason"), [("no_such_package:create", "no_such_package"), ("json:no_such", "no_such")]
)
def test_an_engine_whose_package_is_broken_says_so(installed, value, reason):
    installed("broken", value)
    with pytest.raises(EngineUnavailable, match=reason):
        load_engine("broken", {})


def test_what_is_not_an_engine_is_refused(installed):
    installed("odd", "builtins:dict")
    with pytest.raises(EngineUnavailable, match="did not return an engine"):
        load_engine("odd", {})


def test_a_third_partys_engine_is_found(installed):
    installed("mine", "speechpool.speech.local:create_engine")
    assert isinstance(load_engine("mine", {}), Engine)
