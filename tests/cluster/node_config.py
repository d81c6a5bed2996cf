"""What the parts of a node are told: files that they read at their start."""

import json
from pathlib import Path

from tests.cluster.images import PAUSE
from tests.cluster.node_namespaces import NODE_ADDRESS

__all__ = [
    "DISK_MEGABYTES",
    "HARD_MEGABYTES",
    "NODE_NAME",
    "SOFT_MEGABYTES",
    "containerd_file",
    "dns_file",
    "dns_objects",
    "kubelet_file",
    "network_file",
    "proxy_file",
]

NODE_NAME = "node1"
DISK_MEGABYTES = 256
"""The size of the kubelet's file system; sixty pods put a few into it."""
SOFT_MEGABYTES = 128
"""With less of it free the node is under pressure, and evicts a pod after another with the pod's own grace period."""
HARD_MEGABYTES = 64
"""With less, with one second."""
_DNS_ADDRESS = "10.96.0.10"
_PODS = "10.244.0.0/24"

_CONTAINERD = """
version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = {disabled}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  cni = {{ bin_dir = "/usr/lib/cni", conf_dir = "{directory}/cni" }}
"""


def containerd_file(directory: Path, root: Path, *, has_kubernetes: bool) -> Path:
    """Of containerd; without what speaks to the kubelet it only keeps images."""
    name = "io.containerd.grpc.v1.cri"
    disabled = ["io.containerd.internal.v1.opt", *([] if has_kubernetes else [name])]
    text = _CONTAINERD.format(root=root, disabled=json.dumps(disabled), pause=PAUSE, directory=directory)
    if not has_kubernetes:
        text = text[: text.index("[plugins")]
    return _written(directory / f"containerd-{has_kubernetes}.toml", text)


def network_file(directory: Path) -> Path:
    """Of the network of pods: one bridge."""
    plugins = [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": _PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": "/run/ipam",
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    (directory / "cni").mkdir(exist_ok=True)
    return _written(
        directory / "cni" / "10-pods.conflist",
        json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}),
    )


def kubelet_file(directory: Path, cgroup: str) -> Path:
    """Of the kubelet. Without CAP_SYS_RESOURCE it cannot lower its own score for the out-of-memory killer."""
    return _written(
        directory / "kubelet.yaml",
        json.dumps(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "failCgroupV1": False,
                "failSwapOn": False,
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{cgroup}",
                "oomScoreAdj": 0,
                "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
                "authentication": {
                    "anonymous": {"enabled": False},
                    "webhook": {"enabled": True},
                    "x509": {"clientCAFile": str(directory / "ca.crt")},
                },
                "authorization": {"mode": "Webhook"},
                "tlsCertFile": str(directory / "kubelet.crt"),
                "tlsPrivateKeyFile": str(directory / "kubelet.key"),
                "clusterDNS": [_DNS_ADDRESS],
                "clusterDomain": "cluster.local",
                "resolvConf": "/dev/null",
                "imageGCHighThresholdPercent": 100,
                # the machine's disk is not the tests'
                "evictionHard": {"memory.available": "100Mi", "nodefs.available": f"{HARD_MEGABYTES}Mi"},
                "evictionSoft": {"nodefs.available": f"{SOFT_MEGABYTES}Mi"},
                "evictionSoftGracePeriod": {"nodefs.available": "1s"},
                "evictionMaxPodGracePeriod": 60,
                "evictionPressureTransitionPeriod": "1s",  # five minutes, as a rule
                "nodeStatusUpdateFrequency": "2s",
                "podLogsDir": str(directory / "podlogs"),
            }
        ),
    )


def proxy_file(directory: Path, kubeconfig: Path) -> Path:
    """Of kube-proxy."""
    return _written(
        directory / "proxy.yaml",
        json.dumps(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "nftables",
                "clientConnection": {"kubeconfig": str(kubeconfig)},
                "clusterCIDR": "10.244.0.0/16",
                "hostnameOverride": NODE_NAME,
                "conntrack": {"maxPerCore": 0},
                "oomScoreAdj": 0,
            }
        ),
    )


def dns_file(directory: Path, kubeconfig: Path) -> Path:
    """Of CoreDNS, which knows the cluster alone."""
    text = f".:53 {{\n  bind {NODE_ADDRESS}\n  kubernetes cluster.local {{\n    kubeconfig {kubeconfig}\n  }}\n}}\n"
    return _written(directory / "Corefile", text)


def dns_objects() -> list[dict[str, object]]:
    """The Service that pods ask, and its endpoint on the node itself."""
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    service = {"clusterIP": _DNS_ADDRESS, "ports": ports}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [NODE_ADDRESS]}],
        },
    ]


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
