"""A real Kubernetes of one node: kubelet, containerd, kube-proxy, DNS, in namespaces of its own. Needs root on Linux.

Pods run, Services answer, tests reach the API server as ever; when the tests end, however they end, all of it ends.
"""

import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiError, ApiServer, Kubectl, Process
from tests.cluster.node_config import (
    DISK_MEGABYTES,
    NODE_NAME,
    dns_file,
    dns_objects,
    kubelet_file,
    network_file,
    proxy_file,
)
from tests.cluster.node_containerd import image_store, start_containerd
from tests.cluster.node_namespaces import NODE_ADDRESS, InsideProcess, Namespaces
from tests.cluster.packages import DEBIAN_PACKAGES
from tests.cluster.tools import cert_manager_binary, coredns_binary, helm_binary

__all__ = ["Node", "missing_for_a_node", "running_node"]

_PROGRAMS = ("buildah", "conntrack", "containerd", "debootstrap", "ip", "iptables", "nft", "nsenter", "runc", "unshare")
_SERVICES = "10.96.0.0/16"


def missing_for_a_node() -> str:
    """Why no node can run here; empty where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a node needs Linux and root"
    if lacking := [each for each in _PROGRAMS if not shutil.which(each)]:
        return f"missing: {', '.join(lacking)}; apt-get install {' '.join(DEBIAN_PACKAGES)}"
    if not Path("/usr/lib/cni/bridge").exists():
        return "missing: /usr/lib/cni/bridge; apt-get install containernetworking-plugins"
    return ""


class Node(ApiServer):
    """One node with its control plane; what an `ApiServer` is, and pods that run.

    Args:
        directory: Where everything of it is.
        images: Where containerd keeps its images.
    """

    def __init__(self, directory: Path, images: Path) -> None:
        super().__init__(directory)
        self._images = images
        self.disk = directory / "kubelet"
        """The kubelet's own file system, DISK_MEGABYTES large: what fills it puts the node under pressure."""
        resolv = directory / "resolv.conf"
        resolv.write_text("nameserver 10.96.0.10\nsearch svc.cluster.local cluster.local\n")
        self.inside = Namespaces(resolv)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._issue("apiserver", "127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1", NODE_ADDRESS)
        subject = {"common_name": f"system:node:{NODE_NAME}", "organization_name": "system:nodes"}
        self._issue("kubelet", NODE_NAME, NODE_ADDRESS, **subject)
        self.etcd.words = self.inside.network_words(*self.etcd.words)
        self.apiserver.words = self.inside.network_words(*self.apiserver.words, *self._more_flags())
        self.parts: dict[str, Process] = {}

    def start(self) -> None:
        """Start all of it; returns when the node is ready and names are answered."""
        self.parts["containerd"] = start_containerd(self.inside, self.directory, self._images)
        self._forward()
        super().start()
        self._start_controllers()
        self._start_kubelet()
        for each in dns_objects():
            self.apply(each)
        self.wait_for(self._is_node_ready, "the node is not ready")

    def stop(self) -> None:
        """End all of it."""
        for part in ("kubelet", "proxy", "dns", "scheduler", "controllers"):
            if part in self.parts:
                self.parts[part].end()
        super().stop()
        self.inside.close()
        for part in ("containerd", "forward"):
            if part in self.parts:
                self.parts[part].end()
        self._listener.close()

    # --- what tests ask ---

    def namespace(self, name: str | None = None, *, labels: dict[str, str] | None = None) -> str:
        """A new namespace, once its default ServiceAccount is there."""
        self._namespaces += 1
        name = name or f"test-{self._namespaces}-{os.urandom(3).hex()}"
        self.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        self.wait_for(lambda: self.found(path) is not None, f"no default ServiceAccount in {name}")
        return name

    def found(self, path: str) -> Any:
        """The object at a path, None where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def wait_for(self, is_so: Callable[[], bool], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something is so.

        Raises:
            AssertionError: It was not in time; says `what` and what the cluster has to say.
        """
        give_up_at = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > give_up_at:
                raise AssertionError(f"{what}\n{self.story()}")
            time.sleep(0.1)

    def wait_for_pod(self, namespace: str, name: str, is_so: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Wait until a pod is as `is_so` says."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self.wait_for(lambda: is_so(self.found(path) or {}), f"{namespace}/{name}: {what}")

    def execute(self, namespace: str, pod: str, container: str, *words: str) -> Kubectl:
        """Run a command in a container."""
        return self.kubectl("exec", "--namespace", namespace, pod, "--container", container, "--", *words)

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """What a container printed."""
        return self.kubectl("logs", "--namespace", namespace, pod, "--container", container).stdout

    def story(self) -> str:
        """What happens in the cluster: for messages of tests that failed."""
        pods = self.kubectl("get", "pods", "--all-namespaces", "--output=wide").stdout
        events = self.kubectl("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp").stdout
        unwell = [
            line.split()[:2] for line in pods.splitlines()[1:] if "Running" not in line and "Completed" not in line
        ]
        logs = [
            self.kubectl("logs", "--namespace", namespace, pod, "--all-containers", "--prefix", "--tail=20").stdout
            for namespace, pod in unwell[:5]
        ]
        return "\n".join([pods, events[-6000:], *logs])

    # --- within ---

    def _more_flags(self) -> list[str]:
        at = self.directory
        return [
            *(f"--advertise-address={NODE_ADDRESS}", "--bind-address=0.0.0.0", "--authorization-mode=Node"),
            *(f"--service-cluster-ip-range={_SERVICES}", "--allow-privileged=true"),
            "--enable-admission-plugins=NodeRestriction",
            *(f"--kubelet-client-certificate={at / 'admin.crt'}", f"--kubelet-client-key={at / 'admin.key'}"),
            *(
                f"--kubelet-certificate-authority={at / 'ca.crt'}",
                "--kubelet-preferred-address-types=InternalIP",
            ),
            # injection by a policy, which is stable in the next version
            "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
            "--feature-gates=MutatingAdmissionPolicy=true",
        ]

    def _forward(self) -> None:
        descriptor = self._listener.fileno()
        module = [sys.executable, "-m", "tests.cluster.node_forward", str(descriptor), str(self.port)]
        process = Process(self.inside.network_words(*module), self.directory / "forward.log")
        process.start(descriptors=[descriptor])
        self.parts["forward"] = process

    def _start_controllers(self) -> None:
        at, admin = self.directory, f"--kubeconfig={self.kubeconfig()}"
        self._part(
            "controllers",
            *(self._kube, "kube-controller-manager", admin, "--leader-elect=false"),
            *(f"--service-account-private-key-file={at / 'sa.key'}", f"--root-ca-file={at / 'ca.crt'}"),
            "--use-service-account-credentials",
        )
        self._part("scheduler", self._kube, "kube-scheduler", admin, "--leader-elect=false")
        self._part("dns", str(coredns_binary()), "-conf", str(dns_file(at, self.kubeconfig())))

    def _start_kubelet(self) -> None:
        at = self.directory
        network_file(at)
        self.disk.mkdir()
        size = f"--options=size={DISK_MEGABYTES}m"
        self.inside.run("mount", "--types=tmpfs", size, "tmpfs", str(self.disk))
        words = [
            *(self._kube, "kubelet", f"--config={kubelet_file(at, self.inside.cgroup)}"),
            *(f"--kubeconfig={self.kubeconfig(name='kubelet')}", f"--hostname-override={NODE_NAME}"),
            *(f"--node-ip={NODE_ADDRESS}", f"--root-dir={self.disk}"),
        ]
        self._part("kubelet", *words, is_inside=True)
        proxy = [self._kube, "kube-proxy", f"--config={proxy_file(at, self.kubeconfig())}"]
        self._part("proxy", *proxy, is_inside=True)

    def _part(self, name: str, *words: str, is_inside: bool = False) -> None:
        log = self.directory / f"{name}.log"
        made = (
            InsideProcess(self.inside.words(*words), log)
            if is_inside
            else Process(self.inside.network_words(*words), log)
        )
        made.start()
        self.parts[name] = made

    def _is_node_ready(self) -> bool:
        dead = [name for name, part in self.parts.items() if not part.is_alive]
        assert not dead, f"{dead[0]} has ended:\n{self.parts[dead[0]].tail()}"
        found = self.found(f"/api/v1/nodes/{NODE_NAME}") or {}
        conditions = found.get("status", {}).get("conditions", ())
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@contextlib.contextmanager
def running_node(directory: Path) -> Iterator[Node]:
    """A running node, ended afterwards."""
    with image_store(directory / "containerd") as images:
        made = Node(directory, images)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for the whole run; tests take namespaces of their own, and leave it as it was."""
    if reason := missing_for_a_node():
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    with running_node(tmp_path_factory.mktemp("node")) as made:
        yield made


def main() -> int:
    """Build what the tests on a node need, or say why none can run here; the exit code."""
    if reason := missing_for_a_node():
        print(f"the tests on a node cannot run here: {reason}", file=sys.stderr)
        return int("CI" in os.environ)
    for build in (coredns_binary, helm_binary, cert_manager_binary):
        build()
    return 0


if __name__ == "__main__":
    sys.exit(main())
