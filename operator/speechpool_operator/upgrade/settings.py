"""The settings of the upgrader: each once, as a flag and as an environment variable, the flag first."""

import argparse
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool.settings.kinds import Choice, Integer, Number, Text
from speechpool.settings.places import FilePath, HostPort
from speechpool_operator.option_table import Option, read_values
from speechpool_operator.upgrade.planner import Limits

__all__ = ["OPTIONS", "UpgraderSettings", "read_settings"]

PREFIX: Final = "SPEECHPOOL_UPGRADER_"

_NAME = Text("a Kubernetes name: lower case letters, digits, - and .", r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", 253)
_IMAGE = Text("an image's name, as registry.example/speechpool/sidecar:1.0", r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", 512)

_option = functools.partial(Option, PREFIX)

OPTIONS: Final = (
    _option("kubeconfig", FilePath(), "", "how to reach the API server (default: the cluster that this runs in, else "
            "$KUBECONFIG, else ~/.kube/config)"),
    _option("image", _IMAGE, "", "image that every sidecar is to have, as the injector's; required"),
    _option("operator", HostPort(remote=True), "speechpool-operator:8080", "where the operator's telemetry is, as "
            "host:port"),
    _option("watch_namespace", _NAME, "", "the only namespace whose pods are upgraded (default: all)"),
    _option("telemetry_address", HostPort(), "[::]:8080", "where /livez, /readyz, /metrics and /upgrades are answered, "
            "in plain HTTP; or off"),
    _option("per_minute", Number(0.1, 600), "6", "sidecars in a minute at most"),
    _option("at_once", Integer(1, 100), "1", "sidecars that are away at the same time; one until the first is warm "
            "again"),
    _option("back_seconds", Number(5, 3600), "180", "so long one may take to be warm again; the first that takes "
            "longer stops all"),
    _option("log_level", Choice(("debug", "info", "warning", "error"), str), "info", "debug, info, warning or error"),
    _option("log_format", Choice(("auto", "json", "text"), str), "auto", "json, text, or auto: text on a terminal"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgraderSettings:
    """The settings, as `OPTIONS` documents them; empty text where there is none."""

    kubeconfig: str
    image: str
    operator: Address
    watch_namespace: str
    telemetry_address: Address | None
    limits: Limits
    log_level: str
    log_format: str


_NO_FLAGS: Final = argparse.Namespace()


def read_settings(
    environment: Mapping[str, str] = os.environ, args: argparse.Namespace = _NO_FLAGS
) -> UpgraderSettings:
    """Read them.

    Args:
        environment: The process's.
        args: The parsed command line.

    Raises:
        SettingsError: One is wrong or missing; all of them are told.
    """
    values, problems = read_values(args, OPTIONS, environment)
    if not values.get("image", "-"):
        problems.append(f"{PREFIX}IMAGE is not set: it must be the image that every sidecar is to have")
    if values.get("operator", "") is None:
        problems.append(
            f"{PREFIX}OPERATOR must be host:port; got 'off': the operator says which sidecars have sessions"
        )
    if problems:
        raise SettingsError("\n".join(problems), problems=tuple(problems))
    pace = {name: values.pop(name) for name in ("per_minute", "at_once", "back_seconds")}
    return UpgraderSettings(limits=Limits(**pace), **values)
