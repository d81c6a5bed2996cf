"""A real etcd and kube-apiserver for tests: custom resources, CEL, watches, tokens and their review, without a node.

Nothing of it needs root. It is ready after about three seconds, and its data is in a directory of the test's own. Both
processes can be stopped, killed and started again on the same ports and data, as a cluster's can.
"""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.cluster.build import kube_binary

__all__ = ["AUDIENCE", "PATIENCE_SECONDS", "ApiError", "ApiServer", "Kubectl", "Process", "running_api_server"]

AUDIENCE = "speechpool-operator"
PATIENCE_SECONDS = 60.0
"""The bound of every wait: twenty times what a start takes here."""

_POLL_SECONDS = 0.05


class ApiError(Exception):
    """The API server said no.

    Args:
        status: The HTTP status.
        body: What it said.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body

    @property
    def message(self) -> str:
        """The message of Kubernetes' own error object."""
        with contextlib.suppress(ValueError):
            return str(json.loads(self.body)["message"])
        return self.body


class Kubectl(subprocess.CompletedProcess[str]):
    """How a call of kubectl ended."""


class Process:
    """One component, which may be started again and again.

    Args:
        words: Its command line.
        log: Where what it prints goes.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.words = list(words)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process, "it was never started"
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, descriptors: Sequence[int] = ()) -> None:
        """Start it if it does not run; it inherits `descriptors`."""
        if not self.is_alive:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=tuple(descriptors)
                )

    def send(self, number: int) -> None:
        """Send it a signal, whatever state it is in."""
        if self.is_alive:
            os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it; a stopped process is continued first, and killed if it takes too long."""
        if not self._process:
            return
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE_SECONDS)

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-4000:]


class ApiServer:
    """One etcd and one kube-apiserver.

    Args:
        directory: Where everything of it is.
        flags: More flags of kube-apiserver.
    """

    def __init__(self, directory: Path, flags: Sequence[str] = ()) -> None:
        self.directory = directory
        self._kube = str(kube_binary())
        self._ca = trustme.CA(organization_name="kube-ca")
        self._ca.cert_pem.write_to_path(str(directory / "ca.crt"))
        self._etcd_port, peer_port, self.port = _free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        self._issue("apiserver", "127.0.0.1", "localhost", "kubernetes.default.svc")
        self._issue_user("admin", "system:masters")
        self._write_signing_key()
        self._tls = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        self._tls.load_cert_chain(directory / "admin.crt", directory / "admin.key")
        self.etcd = Process(self._etcd_words(peer_port), directory / "etcd.log")
        self.apiserver = Process([*self._apiserver_words(), *flags], directory / "apiserver.log")
        self._namespaces = 0

    # --- life ---

    def start(self) -> None:
        """Start what does not run; returns when the API answers."""
        self.etcd.start()
        self.apiserver.start()
        self.wait_ready()

    def stop(self) -> None:
        """End both."""
        self.apiserver.end()
        self.etcd.end()

    def kill(self) -> None:
        """End both at once: what they hold is not wanted any more."""
        self.apiserver.end(signal.SIGKILL)
        self.etcd.end(signal.SIGKILL)

    def wait_ready(self) -> None:
        """Wait until the API server is ready."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(ApiError, OSError):
                self.get("/readyz", is_json=False)
                return
            ended = [each for each in (self.etcd, self.apiserver) if not each.is_alive]
            if ended or time.monotonic() > give_up_at:
                logs = "\n".join(each.tail() for each in ended or [self.apiserver])
                raise AssertionError(f"the API server is not ready; the end of the log:\n{logs}")
            time.sleep(_POLL_SECONDS)

    # --- requests, as the administrator ---

    def get(self, path: str, *, is_json: bool = True) -> Any:
        """GET an API path."""
        return self.request("GET", path, is_json=is_json)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST an object."""
        return self.request("POST", path, body)

    def delete(self, path: str, *, grace_seconds: int | None = None) -> Any:
        """DELETE what is at a path; with `grace_seconds=0` at once and for good."""
        options = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        return self.request("DELETE", path, options)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Merge-patch an object."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json")

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        content_type: str = "application/json",
        is_json: bool = True,
    ) -> Any:
        """One request.

        Raises:
            ApiError: The answer is an error.
            OSError: There is no answer.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": content_type},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS, context=self._tls) as reply:
                text = reply.read().decode()
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from None
        return json.loads(text) if is_json else text

    def kubectl(self, *words: str, stdin: str = "") -> Kubectl:
        """Run the real kubectl as the administrator; never raises for its exit code."""
        done = subprocess.run(
            self.kubectl_words(*words),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            env={**os.environ, "HOME": str(self.directory)},  # its cache of what the API offers
        )
        return Kubectl(done.args, done.returncode, done.stdout, done.stderr)

    def kubectl_words(self, *words: str) -> list[str]:
        """The command line of kubectl as the administrator."""
        return [self._kube, "kubectl", "--kubeconfig", str(self.kubeconfig()), *words]

    def apply(self, *objects: Mapping[str, Any] | str) -> Kubectl:
        """`kubectl apply` of objects or YAML documents, with strict validation, as users have it."""
        documents = (each if isinstance(each, str) else json.dumps(each) for each in objects)
        return self.kubectl("apply", "--validate=strict", "-f", "-", stdin="\n---\n".join(documents))

    # --- who may ask ---

    def kubeconfig(self, *, token: str | None = None, name: str = "admin") -> Path:
        """A kubeconfig file, of the administrator or of the bearer of a token."""
        path = self.directory / f"{name}.kubeconfig"
        user: dict[str, str] = {"token": token} if token else {}
        if not token:
            user = {key: str(self.directory / f"{name}.{end}") for key, end in _CLIENT_FILES.items()}
        certificate = str(self.directory / "ca.crt")
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority": certificate}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path.write_text(json.dumps(config))
        return path

    def token(
        self,
        namespace: str,
        pod: str | None,
        *,
        account: str = "default",
        audience: str = AUDIENCE,
        seconds: int = 3600,
    ) -> str:
        """A token of a ServiceAccount, as the kubelet projects it into a pod; bound to none where `pod` is None.

        The API server gives 10 minutes at least.
        """
        spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": seconds}
        if pod is not None:
            uid = self.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")["metadata"]["uid"]
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        made = self.post(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        return str(made["status"]["token"])

    # --- objects ---

    def namespace(self, name: str | None = None) -> str:
        """A new namespace with its default ServiceAccount, which a controller makes in a whole cluster."""
        self._namespaces += 1
        name = name or f"test-{self._namespaces}-{os.urandom(3).hex()}"
        self.post("/api/v1/namespaces", {"metadata": {"name": name}})
        self.service_account(name, "default")
        return name

    def service_account(self, namespace: str, name: str) -> None:
        """A new ServiceAccount."""
        self.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})

    def pod(
        self,
        namespace: str,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        account: str = "default",
    ) -> dict[str, Any]:
        """A new pod on a node that does not exist: the API server knows it, and nothing runs it."""
        metadata = {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})}
        spec = {
            "nodeName": "nowhere",
            "serviceAccountName": account,
            "containers": [{"name": "app", "image": "app"}],
            "automountServiceAccountToken": False,
        }
        made: dict[str, Any] = self.post(f"/api/v1/namespaces/{namespace}/pods", {"metadata": metadata, "spec": spec})
        return made

    # --- within ---

    def _issue(self, name: str, *identities: str, **subject: str) -> None:
        made = self._ca.issue_cert(*identities, **subject)
        made.private_key_pem.write_to_path(str(self.directory / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(str(self.directory / f"{name}.crt"))

    def _issue_user(self, name: str, group: str) -> None:
        # a certificate must have a name of a host or a mailbox; Kubernetes reads only its subject
        self._issue(name, f"{name}@example.org", common_name=name, organization_name=group)

    def _write_signing_key(self) -> None:
        made = trustme.CA()
        made.private_key_pem.write_to_path(str(self.directory / "sa.key"))

    def _etcd_words(self, peer_port: int) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{peer_port}"
        return [
            *(self._kube, "etcd", "--data-dir", str(self.directory / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *(
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
                "--initial-cluster",
                f"default={peer}",
            ),
            *("--log-level", "error"),
        ]

    def _apiserver_words(self) -> list[str]:
        at = self.directory
        return [
            *(self._kube, "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self._etcd_port}"),
            *(f"--secure-port={self.port}", "--bind-address=127.0.0.1", "--authorization-mode=RBAC"),
            *(f"--tls-cert-file={at / 'apiserver.crt'}", f"--tls-private-key-file={at / 'apiserver.key'}"),
            *(f"--client-ca-file={at / 'ca.crt'}", "--service-cluster-ip-range=10.0.0.0/24"),
            *(f"--service-account-key-file={at / 'sa.key'}", f"--service-account-signing-key-file={at / 'sa.key'}"),
            "--service-account-issuer=https://kubernetes.default.svc",
        ]


_CLIENT_FILES = {"client-certificate": "crt", "client-key": "key"}


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, and stay out of the way of the ports that outgoing connections get."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextlib.contextmanager
def running_api_server(directory: Path, *flags: str) -> Iterator[ApiServer]:
    """A running API server with data of its own, ended afterwards."""
    server = ApiServer(directory, flags)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for the whole run; tests take a namespace of their own, and leave it running."""
    with running_api_server(tmp_path_factory.mktemp("cluster")) as server:
        yield server
