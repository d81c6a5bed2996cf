"""Where the API server is, and how this program proves who it is: in a cluster, or by a kubeconfig."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from speechpool.errors import SettingsError
from speechpool_operator.kube_exec import PluginToken

__all__ = ["Access", "TokenFile", "access", "from_kubeconfig", "in_cluster"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token, CA and namespace."""


class TokenFile:
    """A token in a file that somebody else renews.

    Args:
        path: The file. It is read again at each use: the kubelet renews it long before it ends, and reading a file of
            memory takes less time than remembering when to do so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> str:
        """The token as it is now.

        Raises:
            OSError: The file cannot be read.
        """
        return self._path.read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one API server.

    Args:
        server: Its URL, without a slash at the end.
        namespace: The operator's own namespace, or the kubeconfig's.
        tls: Makes a TLS context from the files as they are now; None where the URL is not https.
        token: Gives the bearer token as it is now; None where a client certificate says who this is.
        tls_files: Files that the context was made from: another modification time means that it must be made again.
    """

    server: str
    namespace: str
    tls: Callable[[], ssl.SSLContext] | None
    token: Callable[[], str] | None = field(default=None, repr=False)
    tls_files: tuple[Path, ...] = ()


def access(
    kubeconfig: str | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    context: str | None = None,
    with_plugins: bool = False,
) -> Access:
    """The access that this program was given.

    Args:
        kubeconfig: A file; None for the cluster that this runs in, or else `KUBECONFIG`, which may name several as it
            does to kubectl, or else `~/.kube/config`.
        environment: The process's.
        context: As `from_kubeconfig` takes it; one that is named is looked for in no pod's own access.
        with_plugins: Likewise.

    Raises:
        SettingsError: There is none, or it cannot be used.
    """
    if kubeconfig is None and context is None and environment.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environment)
    paths = [Path(kubeconfig)] if kubeconfig else _of_environment(environment)
    return from_kubeconfig(*paths, context=context, with_plugins=with_plugins)


def _of_environment(environment: Mapping[str, str]) -> list[Path]:
    named = [Path(each) for each in environment.get("KUBECONFIG", "").split(os.pathsep) if each]
    # of several those that are missing are passed over, as kubectl does
    return [each for each in named if each.exists()] or named[:1] or [Path.home() / ".kube" / "config"]


def in_cluster(environment: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT) -> Access:
    """The access of a pod's ServiceAccount.

    Raises:
        SettingsError: This is no pod, or its ServiceAccount is not mounted.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise SettingsError("KUBERNETES_SERVICE_HOST is not set: this is no pod; name a kubeconfig instead")
    authority = f"[{host}]" if ":" in host else host
    certificate = directory / "ca.crt"
    try:
        namespace = (directory / "namespace").read_text(encoding="utf-8").strip()
        TokenFile(directory / "token")()
        ssl.create_default_context(cafile=certificate)
    except OSError as error:
        raise SettingsError(
            f"{directory}: the ServiceAccount's files cannot be read ({error.strerror}); "
            "let the pod have automountServiceAccountToken: true"
        ) from error
    return Access(
        server=f"https://{authority}:{port}",
        namespace=namespace,
        tls=lambda: ssl.create_default_context(cafile=certificate),
        token=TokenFile(directory / "token"),
        tls_files=(certificate,),
    )


def from_kubeconfig(*paths: Path, context: str | None = None, with_plugins: bool = False) -> Access:
    """The access that a kubeconfig gives: a client certificate, a token or a file with one.

    Args:
        paths: Its file; of several the first that says something wins.
        context: The context's name; None for the current one.
        with_plugins: Whether a program may be run for a token: only where a person waits for it.

    Raises:
        SettingsError: It cannot be read, or it needs what is not there: a plugin or a password.
    """
    config = _Kubeconfig(paths)
    chosen = config.entry("contexts", "context", context or config.text("current-context"))
    cluster = config.entry("clusters", "cluster", str(chosen.get("cluster", "")))
    user = config.entry("users", "user", str(chosen.get("user", ""))) if chosen.get("user") else {}
    plugin = user.get("exec") if with_plugins else None
    for refused in ("exec", "auth-provider", "username"):
        if refused in user and not (refused == "exec" and plugin):
            raise SettingsError(
                f"{config.shown}: {refused} is not understood; use a client certificate or a token "
                "(kubectl create token)"
            )
    server = str(cluster.get("server", "")).rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise SettingsError(f"{config.shown}: server must be an http:// or https:// URL")
    tls = _Tls(config, cluster, user)
    tls.context()  # what is wrong with the files is said now
    return Access(
        server=server,
        namespace=str(chosen.get("namespace") or "default"),
        tls=tls.context if server.startswith("https:") else None,
        token=PluginToken(paths[0], plugin, cluster) if plugin else config.token(user),
        tls_files=tls.files,
    )


_FILES: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class _Kubeconfig:
    """Kubeconfig files, of which the first that has something wins; their paths are relative to themselves."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.shown = os.pathsep.join(map(str, paths))
        self._files = [(path.parent, _read(path)) for path in paths]

    def text(self, name: str) -> str:
        for _, values in self._files:
            if value := values.get(name):
                return str(value)
        raise SettingsError(f"{self.shown}: {name} is not set")

    def entry(self, list_name: str, kind: str, name: str) -> dict[str, Any]:
        for directory, values in self._files:
            for each in values.get(list_name) or ():
                if isinstance(each, dict) and each.get("name") == name and isinstance(each.get(kind), dict):
                    return _resolved(each[kind], directory)
        raise SettingsError(f"{self.shown}: {list_name} has no {name!r}")

    def file(self, values: Mapping[str, Any], name: str) -> Path | None:
        return Path(values[name]) if values.get(name) else None

    def data(self, values: Mapping[str, Any], name: str) -> bytes | None:
        if not (text := values.get(f"{name}-data")):
            return None
        try:
            return base64.b64decode(str(text), validate=True)
        except binascii.Error:
            raise SettingsError(f"{self.shown}: {name}-data is not base64") from None

    def token(self, user: Mapping[str, Any]) -> Callable[[], str] | None:
        if path := self.file(user, "tokenFile"):
            return TokenFile(path)
        token = str(user.get("token") or "")
        return (lambda: token) if token else None


def _read(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: the kubeconfig cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError):
        raise SettingsError(f"{path}: the kubeconfig is not YAML") from None  # the parser would quote a token
    if not isinstance(read, dict):
        raise SettingsError(f"{path}: the kubeconfig must be a mapping")
    return read


def _resolved(values: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {name: str(directory / str(values[name])) for name in _FILES if values.get(name)}
    plugin = values.get("exec")
    if isinstance(plugin, Mapping) and os.sep in str(plugin.get("command")):
        found["exec"] = {**plugin, "command": str(directory / str(plugin["command"]))}
    return {**values, **found}


class _Tls:
    """Makes TLS contexts of what a kubeconfig names."""

    def __init__(self, config: _Kubeconfig, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> None:
        self._shown = config.shown
        self._ca_file = config.file(cluster, "certificate-authority")
        self._ca = config.data(cluster, "certificate-authority")
        self._pair_files = config.file(user, "client-certificate"), config.file(user, "client-key")
        self._pair = config.data(user, "client-certificate"), config.data(user, "client-key")
        self._is_verified = not cluster.get("insecure-skip-tls-verify")
        self.files = tuple(each for each in (self._ca_file, *self._pair_files) if each)

    def context(self) -> ssl.SSLContext:
        try:
            return self._context()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise SettingsError(f"{self._shown}: a certificate or key cannot be used: {error}") from error

    def _context(self) -> ssl.SSLContext:
        text = self._ca.decode("ascii") if self._ca else None
        context = ssl.create_default_context(cafile=None if text else self._ca_file, cadata=text)
        if not self._is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = self._pair
        certificate_file, key_file = self._pair_files
        if certificate and key:
            _load(context, certificate, key)
        elif certificate_file and key_file:
            context.load_cert_chain(certificate_file, key_file)
        return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # OpenSSL reads a client's certificate from a file only: one of our own, gone before anybody can look
    with tempfile.NamedTemporaryFile(prefix="speechpool-", suffix=".pem") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
