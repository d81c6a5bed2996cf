"""The settings of the process: each once, as a flag and as an environment variable, the flag first."""

import argparse
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool.settings.kinds import Choice, Number, Text
from speechpool.settings.places import FilePath, HostPort
from speechpool_operator.certificates import Terms
from speechpool_operator.injection.kinds import ObjectName
from speechpool_operator.option_table import Option, read_values

__all__ = ["CERTIFICATE_OPTIONS", "INJECTOR_OPTIONS", "Options", "read_options"]

PREFIX: Final = "SPEECHPOOL_INJECTOR_"
_FILES: Final = "/var/run/speechpool/tls"


_option = functools.partial(Option, PREFIX)

_HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_HOSTS: Final = Text("host names, separated by commas", rf"{_HOST}(?:,{_HOST}){{0,15}}", 4096)

CERTIFICATE_OPTIONS: Final = (
    _option("kubeconfig", FilePath(), "", "how to reach the API server (default: the cluster that this runs in, else "
            "$KUBECONFIG, else ~/.kube/config)"),
    _option("namespace", ObjectName(), "", "namespace of the Secret and of both Services (default: the pod's, else the "
            "kubeconfig's)"),
    _option("secret_name", ObjectName(), "speechpool-certificates", "Secret that holds the certificates; it is there "
            "already, empty at first"),
    _option("service_name", ObjectName(), "speechpool-injector", "Service of the webhook, which its certificate is "
            "for"),
    _option("operator_service_name", ObjectName(), "speechpool-operator", "Service of the operator, which its "
            "certificate is for"),
    _option("more_hosts", _HOSTS, "", "further names of the webhook's certificate, for one that is called by a URL"),
    _option("certificate_days", Number(0.001, 825), "90", "life of a server's certificate; it is replaced when a third "
            "of it is left"),
    _option("ca_days", Number(0.001, 3650), "730", "life of the authority that signs them, likewise"),
    _option("ca_settle_seconds", Number(1, 86_400), "3600", "time that everybody has to learn of a new authority "
            "before it signs, and until the old one is forgotten; more than the kubelet's 90"),
    _option("telemetry_address", HostPort(), "[::]:8080", "where /livez, /readyz, /healthz and /metrics are answered, "
            "in plain HTTP"),
    _option("log_level", Choice(("debug", "info", "warning", "error"), str), "info", "debug, info, warning or error"),
    _option("log_format", Choice(("auto", "json", "text"), str), "auto", "json, text, or auto: text on a terminal"),
)  # fmt: skip

INJECTOR_OPTIONS: Final = (
    _option("config", FilePath(), "/etc/speechpool/injector.yaml", "YAML file that says how sidecars are made; read "
            "again when it changes"),
    _option("listen", HostPort(), "[::]:9443", "where the API server asks, by TLS"),
    _option("webhook_name", ObjectName(), "", "MutatingWebhookConfiguration whose caBundle follows the certificates "
            "(default: none)"),
    _option("certificates", Choice(("self", "files"), str), "self", "self: made and renewed in the Secret; files: "
            "mounted, as cert-manager's"),
    _option("tls_cert_file", FilePath(), f"{_FILES}/tls.crt", "with files: the webhook's certificate"),
    _option("tls_key_file", FilePath(), f"{_FILES}/tls.key", "with files: its key"),
    _option("ca_file", FilePath(), f"{_FILES}/ca.crt", "with files: who vouches for the operator, for the sidecars"),
    _option("shutdown_delay_seconds", Number(0, 300), "5", "time after SIGTERM in which it still answers, until the "
            "cluster has forgotten it"),
    *CERTIFICATE_OPTIONS,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings, as `INJECTOR_OPTIONS` documents them; empty text where there is none."""

    kubeconfig: str
    namespace: str
    secret_name: str
    service_name: str
    operator_service_name: str
    more_hosts: str
    certificate_days: float
    ca_days: float
    ca_settle_seconds: float
    telemetry_address: Address | None
    log_level: str
    log_format: str
    config: Path = Path()
    listen: Address | None = None
    webhook_name: str = ""
    certificates: str = "self"
    tls_cert_file: Path = Path()
    tls_key_file: Path = Path()
    ca_file: Path = Path()
    shutdown_delay_seconds: float = 0.0

    def terms(self, namespace: str) -> Terms:
        """Which certificates there are to be.

        Args:
            namespace: Of both Services.
        """
        more = tuple(one for one in self.more_hosts.split(",") if one)
        return Terms(
            hosts={
                "injector": (*_names(self.service_name, namespace), *more),
                "operator": _names(self.operator_service_name, namespace),
            },
            leaf_life=timedelta(days=self.certificate_days),
            authority_life=timedelta(days=self.ca_days),
            settle=timedelta(seconds=self.ca_settle_seconds),
        )


def _names(service: str, namespace: str) -> tuple[str, ...]:
    return tuple(f"{service}.{namespace}{end}" for end in (".svc", ".svc.cluster.local", ""))


def read_options(
    args: argparse.Namespace, options: Sequence[Option], environment: Mapping[str, str] = os.environ
) -> Options:
    """Read the settings.

    Args:
        args: The parsed command line.
        options: Those that the command has.
        environment: The process's.

    Raises:
        SettingsError: At least one is wrong; all that are, are told.
    """
    values, problems = read_values(args, options, environment)
    problems = problems or list(_unfit(values))
    if problems:
        raise SettingsError("\n".join(problems), problems=tuple(problems))
    paths = {field.name for field in fields(Options) if field.type is Path}
    values |= {name: Path(values[name]) for name in paths if name in values}
    return Options(**values)


def _unfit(values: Mapping[str, Any]) -> list[str]:
    problems = []
    days, settle = values["certificate_days"], values["ca_settle_seconds"]
    if settle > days * 86_400 / 3:
        problems.append(
            f"{PREFIX}CA_SETTLE_SECONDS must be at most a third of {PREFIX}CERTIFICATE_DAYS; got {settle:g} seconds "
            f"and {days:g} days"
        )
    if days > values["ca_days"]:
        problems.append(
            f"{PREFIX}CERTIFICATE_DAYS must be at most {PREFIX}CA_DAYS; got {days:g} and {values['ca_days']:g}"
        )
    if "listen" in values and values["listen"] is None:
        problems.append(f"{PREFIX}LISTEN must be host:port; got off: the API server asks there")
    return problems
