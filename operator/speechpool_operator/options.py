"""The settings of `speechpool-operator run`: each once, as a flag and as an environment variable, the flag first."""

import argparse
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool.settings.kinds import Choice, Kind, Text
from speechpool.settings.places import FilePath, HostPort
from speechpool_operator import option_table
from speechpool_operator.option_table import Option, read_values

__all__ = ["OPTIONS", "Options", "add_arguments", "read_options", "unknown_variables"]

PREFIX: Final = "SPEECHPOOL_OPERATOR_"
_CERTIFICATES: Final = "/var/run/speechpool/tls"


def _option(name: str, kind: Kind[Any], default: str, metavar: str, doc: str) -> Option:
    return Option(PREFIX, name, kind, default, doc, metavar)


_NAME = Text("a Kubernetes name: lower case letters, digits, - and .", r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", 253)
_LEVELS = Choice(("debug", "info", "warning", "error"), str)
_FORMATS = Choice(("auto", "json", "text"), str)

OPTIONS: Final = (
    _option("kubeconfig", FilePath(), "", "FILE", "how to reach the API server (default: the cluster that this runs "
            "in, else $KUBECONFIG, else ~/.kube/config)"),
    _option("namespace", _NAME, "", "NAME", "the operator's own namespace: SpeechPools of scope Cluster count there "
            "(default: the pod's, else the kubeconfig's)"),
    _option("watch_namespace", _NAME, "", "NAME", "serve this one namespace only; a Role in it is then enough, but for "
            "TokenReviews (default: all namespaces)"),
    _option("listen", HostPort(), "[::]:8443", "HOST:PORT", "where sidecars connect, by TLS"),
    _option("tls_cert_file", FilePath(), f"{_CERTIFICATES}/tls.crt", "FILE", "certificate for that; read again when it "
            "changes, waited for while it is not there"),
    _option("tls_key_file", FilePath(), f"{_CERTIFICATES}/tls.key", "FILE", "its key"),
    _option("tls_ca_file", FilePath(), f"{_CERTIFICATES}/ca.crt", "FILE", "who vouches for it: published to the "
            "sidecars' namespaces where there is a ConfigMap's name for it"),
    _option("ca_configmap_name", _NAME, "", "NAME", "ConfigMap that tells sidecars, in each namespace that has some, "
            "who vouches for the operator (default: none is written)"),
    _option("telemetry_address", HostPort(), "[::]:8080", "HOST:PORT", "where /livez, /readyz, /healthz, /metrics and "
            "/sidecars are answered, in plain HTTP; or off"),
    _option("lease_name", _NAME, "", "NAME", "Lease in the operator's namespace that decides which of several replicas "
            "leads (default: none, this one leads)"),
    _option("pod_name", _NAME, "", "NAME", "who this is, in the Lease and in events (default: the host's name)"),
    _option("log_level", _LEVELS, "info", "LEVEL", "debug, info, warning or "
            "error"),
    _option("log_format", _FORMATS, "auto", "FORMAT", "json, text, or auto: text on a terminal"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings, as `OPTIONS` documents them; empty text and None where there is none."""

    kubeconfig: str
    namespace: str
    watch_namespace: str
    listen: Address
    tls_cert_file: Path
    tls_key_file: Path
    tls_ca_file: Path
    ca_configmap_name: str
    telemetry_address: Address | None
    lease_name: str
    pod_name: str
    log_level: str
    log_format: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting."""
    option_table.add_arguments(parser, OPTIONS)


def read_options(args: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Options:
    """Read the settings.

    Args:
        args: The parsed command line.
        environment: The process's.

    Raises:
        SettingsError: At least one is wrong; all that are, are told.
    """
    values, problems = read_values(args, OPTIONS, environment)
    if not problems and values["listen"] is None:
        problems.append(f"{PREFIX}LISTEN must be host:port; got 'off': sidecars connect there")
    if problems:
        raise SettingsError("\n".join(problems), problems=tuple(problems))
    for name in ("tls_cert_file", "tls_key_file", "tls_ca_file"):
        values[name] = Path(values[name])
    values["pod_name"] = values["pod_name"] or f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}"
    return Options(**values)


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that look like settings of ours and are none, as after a slip of the pen."""
    # the others are what a sidecar is told of its operator
    return option_table.unknown_variables(OPTIONS, environment, others=("CA_FILE", "TOKEN_FILE"))
