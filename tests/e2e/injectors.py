"""Injectors as processes beside the real API server, with the rights that the chart gives them and no others."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiError, ApiServer

__all__ = ["CONFIG", "Injector", "Installed", "installed", "running"]

CONFIG: dict[str, Any] = {
    "image": "speechpool/sidecar:1",
    "operator": "speechpool-operator.speechpool-system.svc:8443",
    "imagePullPolicy": "Never",
}

_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class Installed:
    """What the chart puts into a cluster for injectors.

    Args:
        api: The API server.
        directory: For files.
        namespace: A new one; None for one of a name of its own.
    """

    def __init__(self, api: ApiServer, directory: Path, namespace: str | None = None) -> None:
        self.api = api
        self.directory = directory
        self.namespace = api.namespace(namespace)
        self.webhook = f"speechpool-injector-{self.namespace}"
        self.secret = f"/api/v1/namespaces/{self.namespace}/secrets/speechpool-certificates"
        self.port = _free_port()
        api.service_account(self.namespace, "speechpool-injector")
        api.post(self.secret.rpartition("/")[0], {"metadata": {"name": "speechpool-certificates"}})
        self._grant()

    def _grant(self) -> None:
        account = {"kind": "ServiceAccount", "name": "speechpool-injector", "namespace": self.namespace}
        rules = {
            "Role": [
                {
                    "apiGroups": [""],
                    "resources": ["secrets"],
                    "resourceNames": ["speechpool-certificates"],
                    "verbs": ["get", "list", "watch", "update"],
                }
            ],
            "ClusterRole": [
                {
                    "apiGroups": ["admissionregistration.k8s.io"],
                    "resources": ["mutatingwebhookconfigurations"],
                    "resourceNames": [self.webhook],
                    "verbs": ["get", "list", "watch", "patch"],
                }
            ],
        }
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        for kind, ours in rules.items():
            place = f"{rbac}/namespaces/{self.namespace}" if kind == "Role" else rbac
            name = {"name": self.webhook}
            self.api.post(f"{place}/{kind.lower()}s", {"metadata": name, "rules": ours})
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, **name}
            self.api.post(f"{place}/{kind.lower()}bindings", {"metadata": name, "roleRef": ref, "subjects": [account]})

    def register(self, *namespaces: str, failure_policy: str = "Ignore") -> None:
        """Let the API server ask about pods of these namespaces, as the chart does."""
        there = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(namespaces)}
        enabled = {"key": "speechpool.dev/inject", "operator": "In", "values": ["enabled"]}
        asked = {"key": "speechpool.dev/inject", "operator": "Exists"}
        not_refused = {"key": "speechpool.dev/inject", "operator": "NotIn", "values": ["false"]}
        unsaid = {"key": "speechpool.dev/inject", "operator": "DoesNotExist"}
        webhooks = [
            self._entry("pod", [there], [asked, not_refused], failure_policy),
            self._entry("namespace", [there, enabled], [unsaid], failure_policy),
        ]
        self.api.post(_WEBHOOKS, {"metadata": {"name": self.webhook}, "webhooks": webhooks})

    def _entry(self, name: str, namespaces: list[Any], objects: list[Any], failure_policy: str) -> dict[str, Any]:
        return {
            "name": f"{name}.injector.speechpool.dev",
            "clientConfig": {"url": f"https://localhost:{self.port}/inject/{name}"},
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                    "scope": "Namespaced",
                }
            ],
            "namespaceSelector": {"matchExpressions": namespaces},
            "objectSelector": {"matchExpressions": objects},
            "failurePolicy": failure_policy,
            "sideEffects": "None",
            "reinvocationPolicy": "IfNeeded",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        }

    def bundle(self) -> str:
        """The caBundle of the first webhook; empty where there is none."""
        first = self.api.get(f"{_WEBHOOKS}/{self.webhook}")["webhooks"][0]
        return base64.b64decode(first["clientConfig"].get("caBundle", "")).decode()

    def texts(self) -> dict[str, str]:
        """What the Secret holds."""
        data = self.api.get(self.secret).get("data") or {}
        return {name: base64.b64decode(value).decode() for name, value in data.items()}

    def remove(self) -> None:
        """Let the API server ask no more."""
        with contextlib.suppress(ApiError):
            self.api.delete(f"{_WEBHOOKS}/{self.webhook}")


class Injector:
    """One process.

    Args:
        installed: Where it belongs.
        name: Of its files.
        environment: Its settings, over the usual ones.
    """

    def __init__(self, installed: Installed, name: str = "injector", **environment: str) -> None:
        self._installed = installed
        self.telemetry_port = _free_port()
        self.log = installed.directory / f"{name}.log"
        self.config = installed.directory / f"{name}.yaml"
        if not self.config.exists():
            self.config.write_text(json.dumps(CONFIG))
        command = environment.pop("COMMAND", "injector")
        token = installed.api.token(
            installed.namespace, None, account="speechpool-injector", audience="https://kubernetes.default.svc"
        )
        settings = {
            "KUBECONFIG": str(installed.api.kubeconfig(token=token, name=f"{installed.namespace}-{name}")),
            "SPEECHPOOL_INJECTOR_CONFIG": str(self.config),
            "SPEECHPOOL_INJECTOR_NAMESPACE": installed.namespace,
            "SPEECHPOOL_INJECTOR_LISTEN": f"127.0.0.1:{installed.port}",
            "SPEECHPOOL_INJECTOR_TELEMETRY_ADDRESS": f"127.0.0.1:{self.telemetry_port}",
            "SPEECHPOOL_INJECTOR_WEBHOOK_NAME": installed.webhook,
            "SPEECHPOOL_INJECTOR_MORE_HOSTS": "localhost",
            "SPEECHPOOL_INJECTOR_SHUTDOWN_DELAY_SECONDS": "0",
            "SPEECHPOOL_INJECTOR_LOG_FORMAT": "json",
            **{f"SPEECHPOOL_INJECTOR_{key}": value for key, value in environment.items()},
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "speechpool_operator", command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **settings},
            )

    def get(self, path: str) -> tuple[int, str]:
        """What its telemetry answers; status 0 where it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.telemetry_port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self) -> None:
        """Wait until it is ready."""
        eventually(lambda: self.get("/readyz")[0] == 200 or self._ended(), self._story)

    def _ended(self) -> bool:
        assert self.process.poll() is None, self._story()
        return False

    def _story(self) -> str:
        return self.log.read_text()[-4000:]

    def metric(self, name: str) -> float:
        """The value of one line of its metrics; 0 where there is none."""
        lines = (line.rpartition(" ") for line in self.get("/metrics")[1].splitlines())
        return next((float(value) for label, _, value in lines if label == name), 0.0)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


def eventually(holds: Any, story: Any = lambda: "it did not come to pass") -> None:
    """Wait until something holds."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up_at, story()
        time.sleep(0.05)


@contextlib.contextmanager
def installed(api: ApiServer, directory: Path, namespace: str | None = None) -> Iterator[Installed]:
    """An installation, whose webhook is gone afterwards."""
    made = Installed(api, directory, namespace)
    try:
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def running(place: Installed, name: str = "injector", **environment: str) -> Iterator[Injector]:
    """An injector that is ready, and ended afterwards."""
    injector = Injector(place, name, **environment)
    try:
        injector.wait_ready()
        yield injector
    finally:
        injector.end()


def certificates(pem: str) -> list[x509.Certificate]:
    """Every certificate of a text."""
    return x509.load_pem_x509_certificates(pem.encode())


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
