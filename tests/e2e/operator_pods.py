"""Pods of an operator whose telemetry the API server's proxy reaches on this machine."""

import socket

from tests.cluster.apiserver import ApiServer

__all__ = ["machine_address", "operator_pod"]

OPERATOR_LABELS = {"app.kubernetes.io/name": "speechpool", "app.kubernetes.io/component": "operator"}


def machine_address() -> str:
    """An address of this machine that the API server's proxy may reach: it refuses loopback ones."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])


def operator_pod(api: ApiServer, namespace: str, address: str, port: int) -> None:
    """An operator's pod with an address, as a kubelet would report it."""
    spec = {
        "nodeName": "nowhere",
        "containers": [{"name": "operator", "image": "i", "ports": [{"name": "telemetry", "containerPort": port}]}],
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, {"metadata": {"name": "speechpool-operator-0", "labels": OPERATOR_LABELS}, "spec": spec})
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    api.patch(f"{path}/speechpool-operator-0/status", {"status": status})
