"""The real operator as a process, with the rights that it needs and no others."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiError, ApiServer
from tests.program import Program

__all__ = [
    "ACCOUNT",
    "KUBE_AUDIENCE",
    "Operator",
    "allow_operator",
    "control_plane",
    "running_operator",
    "start_operator",
]

KUBE_AUDIENCE = "https://kubernetes.default.svc"
ACCOUNT = "speechpool-operator"

RBAC_FILE = Path(__file__).parents[2] / "examples" / "operator" / "rbac.yaml"


def _rules(kind: str) -> list[dict[str, Any]]:
    """The rules of the role of this kind that users are given."""
    documents = yaml.safe_load_all(RBAC_FILE.read_text("utf-8"))
    [found] = [one["rules"] for one in documents if one["kind"] == kind]
    return list(found)


*SERVED_RULES, _REVIEWS = _rules("ClusterRole")
CLUSTER_RULES = [_REVIEWS]
OWN_RULES = _rules("Role") + [one for one in SERVED_RULES if one["resources"] == ["configmaps"]]
"""What it may do where it serves, everywhere or in one namespace; what only a ClusterRole can give; in its own one."""


def allow_operator(api: ApiServer, namespace: str, watch_namespace: str = "") -> None:
    """Give the ServiceAccount of an operator in `namespace` its rights, in the whole cluster or in one namespace."""
    with contextlib.suppress(ApiError):  # two operators may share an account
        api.service_account(namespace, ACCOUNT)
    name = f"{ACCOUNT}-{namespace}"
    _bind(api, name, namespace, CLUSTER_RULES + ([] if watch_namespace else SERVED_RULES))
    _bind(api, ACCOUNT, namespace, OWN_RULES, role_in=namespace)
    if watch_namespace:
        _bind(api, name, namespace, SERVED_RULES, role_in=watch_namespace)


def _bind(api: ApiServer, name: str, namespace: str, allowed: list[dict[str, Any]], role_in: str = "") -> None:
    kind = "Role" if role_in else "ClusterRole"
    metadata = {"name": name, **({"namespace": role_in} if role_in else {})}
    group = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    role = {**group, "kind": kind, "metadata": metadata, "rules": allowed}
    binding = {
        **group,
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }
    applied = api.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, (role, binding))))
    assert applied.returncode == 0, applied.stderr


class Operator(Program):
    """One running `speechpool-operator run`.

    Args:
        process: The process; its stderr is a pipe.
        namespace: Its own namespace.
        ca_file: Who vouches for it.
    """

    def __init__(self, process: "subprocess.Popen[str]", namespace: str, ca_file: Path) -> None:
        super().__init__(process)
        self.namespace = namespace
        self.ca_file = ca_file

    @property
    def address(self) -> str:
        """Where sidecars connect; it listens from when it leads and has a certificate."""
        return f"127.0.0.1:{self._port('listen')}"

    @property
    def telemetry(self) -> str:
        """The URL of its telemetry."""
        return f"http://127.0.0.1:{self._port('telemetry_address')}"

    def _port(self, setting: str) -> int:
        return int(self.wait_for_log("listening", setting=setting)["address"].rpartition(":")[2])

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a telemetry path."""
        try:
            with urllib.request.urlopen(self.telemetry + path, timeout=PATIENCE_SECONDS) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def sidecars(self, namespace: str = "") -> dict[str, dict[str, Any]]:
        """What it knows of each sidecar, of one namespace or all, by its pod's name."""
        told = json.loads(self.get("/sidecars")[1])["sidecars"]
        return {one["pod"]: one for one in told if namespace in ("", one["namespace"])}

    def wait_ready(self) -> None:
        """Wait until it is ready."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while (answer := self.get("/readyz"))[0] != 200:
            assert time.monotonic() < give_up_at, f"{answer}; its log:\n{self.stderr_text}"
            assert self.process.poll() is None, self.stderr_text
            time.sleep(0.02)


def _write_certificate(directory: Path) -> Path:
    """A certificate for this machine; the file with its CA."""
    ca_file = directory / "ca.crt"
    if not ca_file.exists():
        ca = trustme.CA(organization_name="operator-ca")
        made = ca.issue_cert("localhost", "127.0.0.1")
        made.private_key_pem.write_to_path(str(directory / "tls.key"))
        made.cert_chain_pems[0].write_to_path(str(directory / "tls.crt"))
        ca.cert_pem.write_to_path(str(ca_file))
    return ca_file


@contextlib.contextmanager
def running_operator(
    api: ApiServer,
    directory: Path,
    *flags: str,
    namespace: str | None = None,
    watch_namespace: str = "",
    listen: str = "127.0.0.1:0",
    env: Mapping[str, str] | None = None,
    ready: bool = True,
    program: str = "speechpool_operator",
) -> Iterator[Operator]:
    """An operator; stopped with SIGTERM at the end, if it still runs.

    Args:
        api: The API server, which knows SpeechPools.
        directory: Where its certificate and its kubeconfig are; two operators may share one.
        flags: More words after `speechpool-operator run`.
        namespace: Its own; a new one by default.
        watch_namespace: The one that it serves; all by default.
        listen: Where sidecars connect; name a port to start another one in its place.
        env: More variables of its environment.
        ready: Wait until it is ready.
        program: The module that is started: the command's, or one that makes it another operator before.
    """
    namespace = namespace or api.namespace()
    allow_operator(api, namespace, watch_namespace)
    ca_file = _write_certificate(directory)
    token = api.token(namespace, None, account=ACCOUNT, audience=KUBE_AUDIENCE, seconds=36_000)
    words = [
        *("--kubeconfig", str(api.kubeconfig(token=token, name=f"{ACCOUNT}-{namespace}"))),
        *("--namespace", namespace, "--listen", listen, "--telemetry-address", "127.0.0.1:0"),
        *("--tls-cert-file", str(directory / "tls.crt"), "--tls-key-file", str(directory / "tls.key")),
        *("--tls-ca-file", str(ca_file), "--log-format", "json"),
        *(("--watch-namespace", watch_namespace) if watch_namespace else ()),
    ]
    ours = {key: value for key, value in os.environ.items() if not key.startswith("SPEECHPOOL_")}
    process = subprocess.Popen(
        [sys.executable, "-m", program, "run", *words, *flags],
        env=ours | dict(env or {}),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    operator = Operator(process, namespace, ca_file)
    try:
        if ready:
            operator.wait_ready()
        yield operator
        operator.stop()
    finally:
        operator.kill()


@pytest.fixture(scope="module")
def control_plane(pools_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """One operator of the whole cluster for a file's tests, which take namespaces of their own and leave it running.

    A file whose tests start operators themselves, or look at objects that none may follow, does without it.
    """
    with running_operator(pools_api, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture
def start_operator(pools_api: ApiServer, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Start operators as `running_operator` does; all are stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str, **options: Any) -> Operator:
            return stack.enter_context(running_operator(pools_api, tmp_path, *flags, **options))

        yield start
