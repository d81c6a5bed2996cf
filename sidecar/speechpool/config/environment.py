"""The environment as a source of settings."""

import re
from collections.abc import Iterable, Mapping

from speechpool.settings import ALL_KNOBS, Knob, Layer, Source, read_texts
from speechpool.settings.layers import nearest

__all__ = ["read_environment"]

PREFIXES = ("SPEECH_POOL_", "SPEECHPOOL_")

# Kubernetes sets these for a Service whose name begins with "speechpool" (service links).
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")

MAX_WARNINGS = 20


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Read the variables that are settings; an empty one sets nothing.

    A variable that has our prefix and is no setting is a warning of the layer: another tool may own it.

    Raises:
        SettingsError: Values are wrong; all are listed.
    """
    texts = {one.name: environ[one.env] for one in ALL_KNOBS if one.env and one.env in environ}
    layer = read_texts(texts, source=Source.ENVIRONMENT, label=_variable)
    warnings = tuple(_warnings(environ))[:MAX_WARNINGS]
    return Layer(source=layer.source, values=layer.values, warnings=warnings)


def _variable(knob: Knob) -> str:
    return knob.env or knob.name


def _warnings(environ: Iterable[str]) -> Iterable[str]:
    known = [one.env for one in ALL_KNOBS if one.env]
    for name in sorted(environ):
        if name.startswith(PREFIXES) and name not in known and not _SERVICE_LINK.search(name):
            printable = name.encode("ascii", "backslashreplace").decode()[:100]
            yield f"{printable} is not a setting, and has no effect.{nearest(name, known)}"
