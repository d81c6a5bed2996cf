"""The settings of a pool: defaults, bounds, and messages that say what to do."""

import dataclasses
import math

import pytest

from speechpool.errors import SettingsError
from speechpool.pools import OnDemandResourcePool, WarmableResourcePool
from speechpool.pools.settings import PoolChanges, PoolOptions, PoolSettings

NUMBERS = {
    field.name
    for field in dataclasses.fields(PoolSettings)
    if field.type not in (bool,) and field.name.rpartition("_")[2] != "fn" and field.name != "factory"
} - {"enable_background_warmup", "session_awareness", "recycle_sessions"}
FLAGS = ("enable_background_warmup", "session_awareness", "recycle_sessions")


def test_the_defaults_are_the_seeds():
    settings = PoolSettings(factory=object)

    assert settings.warm_pool_size == 0
    assert settings.enable_background_warmup is False
    assert settings.warmup_interval_sec == 30.0
    assert settings.session_awareness is False
    assert settings.session_max_age_sec == 1800.0
    assert settings.warm_fn is None
    assert settings.acquire_timeout is None
    assert settings.recycle_sessions is False


@pytest.mark.parametrize("name", sorted(NUMBERS))
@pytest.mark.parametrize("value", [-1, True, math.nan, math.inf, "3"])
def test_a_number_that_is_none_is_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=f"{name} must be"):
        PoolSettings(factory=object, **{name: value})


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_a_flag_is_true_or_false(name, value):
    with pytest.raises(SettingsError, match=f"{name} must be True or False"):
        PoolSettings(factory=object, **{name: value})


@pytest.mark.parametrize("name", ["factory", "warm_fn", "reset_fn", "check_fn", "close_fn"])
def test_a_hook_is_callable(name):
    with pytest.raises(SettingsError, match=f"{name} must be callable"):
        PoolSettings(**{"factory": object, name: "secret"})


def test_a_wrong_value_that_may_be_a_secret_is_not_quoted():
    with pytest.raises(SettingsError) as raised:
        PoolSettings(factory="secret")

    assert "secret" not in str(raised.value)
    assert "got a str" in str(raised.value)


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(SettingsError) as raised:
        PoolSettings(factory=object, warm_pool_size=-1, max_size=0)

    assert len(raised.value.problems) == 2


def test_a_settings_error_is_a_value_error():
    with pytest.raises(ValueError, match="warm_pool_size must be a whole number >= 0, got -1"):
        WarmableResourcePool(factory=object, name="pool", warm_pool_size=-1)


def test_an_unknown_argument_is_a_type_error():
    with pytest.raises(TypeError, match="warm_size"):
        WarmableResourcePool(factory=object, name="pool", warm_size=1)


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_pool_has_a_name(name):
    with pytest.raises(SettingsError, match="name must be"):
        WarmableResourcePool(factory=object, name=name)


@pytest.mark.parametrize("name", ["warm_pool_size", "enable_background_warmup", "recycle_sessions"])
def test_a_pool_on_demand_has_no_stock_to_configure(name):
    with pytest.raises(SettingsError, match=f"{name} has no meaning"):
        OnDemandResourcePool(factory=object, name="pool", session_awareness=True, **{name: 1})
    with pytest.raises(SettingsError, match=f"{name} has no meaning"):
        OnDemandResourcePool(factory=object, name="pool", session_awareness=True).reconfigure(**{name: 1})


def test_type_checkers_know_every_setting():
    names = {field.name for field in dataclasses.fields(PoolSettings)}

    assert set(PoolChanges.__annotations__) == names
    assert set(PoolOptions.__annotations__) == names - {"factory"}
