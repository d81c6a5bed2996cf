"""The upgrader's environment."""

import pytest

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool_operator.option_table import unknown_variables
from speechpool_operator.upgrade.planner import Limits
from speechpool_operator.upgrade.settings import OPTIONS, read_settings

IMAGE = {"SPEECHPOOL_UPGRADER_IMAGE": "registry.example:5000/speechpool/sidecar:1@sha256:00ff"}


def test_an_image_is_enough() -> None:
    settings = read_settings(IMAGE)

    assert settings.image == "registry.example:5000/speechpool/sidecar:1@sha256:00ff"
    assert settings.operator == Address("speechpool-operator", 8080)
    assert settings.limits == Limits(per_minute=6.0, at_once=1, back_seconds=180.0)


def test_everything_can_be_set() -> None:
    changes = {"PER_MINUTE": "0.5", "AT_ONCE": "3", "BACK_SECONDS": "60", "WATCH_NAMESPACE": "calls"}
    changes |= {"OPERATOR": "operator.ns.svc:8081", "TELEMETRY_ADDRESS": "off", "LOG_LEVEL": "Debug"}

    settings = read_settings(IMAGE | {f"SPEECHPOOL_UPGRADER_{name}": value for name, value in changes.items()})

    assert settings.limits == Limits(per_minute=0.5, at_once=3, back_seconds=60.0)
    assert (settings.operator, settings.telemetry_address) == (Address("operator.ns.svc", 8081), None)
    assert (settings.watch_namespace, settings.log_level) == ("calls", "debug")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGE", ""),
        ("IMAGE", "speechpool/sidecar:1' || true || 'x"),
        ("IMAGE", "-x"),
        ("OPERATOR", "off"),
        ("OPERATOR", "operator"),
        ("OPERATOR", "operator:0"),
        ("PER_MINUTE", "0"),
        ("PER_MINUTE", "601"),
        ("AT_ONCE", "0"),
        ("AT_ONCE", "1.5"),
        ("BACK_SECONDS", "4"),
        ("BACK_SECONDS", "3601"),
        ("WATCH_NAMESPACE", "Calls"),
        ("TELEMETRY_ADDRESS", "8080"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(IMAGE | {f"SPEECHPOOL_UPGRADER_{name}": value})

    assert f"SPEECHPOOL_UPGRADER_{name} " in str(refused.value)


def test_all_that_is_wrong_is_told() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"SPEECHPOOL_UPGRADER_AT_ONCE": "x", "SPEECHPOOL_UPGRADER_PER_MINUTE": "y"})

    assert len(refused.value.problems) == 3


def test_a_slip_of_the_pen_is_found_and_what_kubernetes_sets_is_none() -> None:
    names = ("IMAGE", "PERMINUTE", "SERVICE_HOST", "PORT_8080_TCP", "PORT")
    environment = {f"SPEECHPOOL_UPGRADER_{name}": "" for name in names} | {"PATH": ""}

    assert unknown_variables(OPTIONS, environment) == ["SPEECHPOOL_UPGRADER_PERMINUTE"]
