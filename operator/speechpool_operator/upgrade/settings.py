"""The settings of the upgrader, from its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool.settings.kinds import Choice, Integer, Kind, Number, Refused, Text
from speechpool.settings.places import HostPort
from speechpool_operator.upgrade.planner import Limits

__all__ = ["PREFIX", "SETTINGS", "UpgraderSettings", "read_settings", "unknown_variables"]

PREFIX: Final = "SPEECHPOOL_UPGRADER_"

_NAME = Text("a Kubernetes name: lower case letters, digits, - and .", r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", 253)
_IMAGE = Text("an image's name, as registry.example/speechpool/sidecar:1.0", r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", 512)
_LEVELS = Choice(("debug", "info", "warning", "error"), str)
_FORMATS = Choice(("auto", "json", "text"), str)

SETTINGS: Final[dict[str, tuple[Kind[Any], str, str]]] = {
    "IMAGE": (_IMAGE, "", "image that every sidecar is to have, as the injector's; required"),
    "OPERATOR": (HostPort(remote=True), "speechpool-operator:8080", "host:port of the operator's telemetry"),
    "WATCH_NAMESPACE": (_NAME, "", "the only namespace whose pods are upgraded; all by default"),
    "TELEMETRY_ADDRESS": (
        HostPort(),
        "[::]:8080",
        "where /livez, /readyz, /metrics and /upgrades are answered; or off",
    ),
    "PER_MINUTE": (Number(0.1, 600), "6", "sidecars in a minute at most"),
    "AT_ONCE": (Integer(1, 100), "1", "sidecars that are away at the same time; one until the first is warm again"),
    "BACK_SECONDS": (
        Number(5, 3600),
        "180",
        "so long one may take to be warm again; the first that takes longer stops all",
    ),
    "LOG_LEVEL": (_LEVELS, "info", "debug, info, warning or error"),
    "LOG_FORMAT": (_FORMATS, "auto", "json, text, or auto: text on a terminal"),
}
"""By name without the prefix: its values, its default as text, and what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgraderSettings:
    """The settings, as `SETTINGS` documents them."""

    image: str
    operator: Address
    watch_namespace: str
    telemetry_address: Address | None
    limits: Limits
    log_level: str
    log_format: str


def read_settings(environment: Mapping[str, str] = os.environ) -> UpgraderSettings:
    """Read them.

    Raises:
        SettingsError: One is wrong or missing; all of them are told.
    """
    values: dict[str, Any] = {}
    problems = []
    for name, (kind, default, _) in SETTINGS.items():
        text = environment.get(PREFIX + name, "").strip() or default
        try:
            values[name] = kind.of_text(text) if text else ""
        except Refused:
            problems.append(f"{PREFIX}{name} must be {kind.expected}, got {text[:200]!r}")
    if not values.get("IMAGE"):
        problems.append(f"{PREFIX}IMAGE is not set: it must be the image that every sidecar is to have")
    if values.get("OPERATOR", "") is None:
        problems.append(
            f"{PREFIX}OPERATOR must be host:port, got 'off': the operator says which sidecars have sessions"
        )
    if problems:
        raise SettingsError("\n".join(problems), problems=tuple(problems))
    limits = Limits(per_minute=values["PER_MINUTE"], at_once=values["AT_ONCE"], back_seconds=values["BACK_SECONDS"])
    names = ("IMAGE", "OPERATOR", "WATCH_NAMESPACE", "TELEMETRY_ADDRESS", "LOG_LEVEL", "LOG_FORMAT")
    return UpgraderSettings(limits=limits, **{name.lower(): values[name] for name in names})


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that look like ours and are none: a slip of the pen, which the log tells of."""
    known = {PREFIX + name for name in SETTINGS}
    return [name for name in environment if name.startswith(PREFIX) and name not in known and not _is_others(name)]


def _is_others(name: str) -> bool:
    # Kubernetes sets ..._SERVICE_HOST and ..._PORT_... beside a Service of that name, the chart two for every program
    rest = name.removeprefix(PREFIX)
    return rest.startswith(("SERVICE_", "PORT")) or rest in ("NAMESPACE", "POD_NAME")
