"""What a node needs of the machine, as Debian and Ubuntu call it: `python tests/cluster/packages.py` prints it."""

__all__ = ["DEBIAN_PACKAGES"]

DEBIAN_PACKAGES = (
    *("buildah", "conntrack", "containerd", "containernetworking-plugins", "debootstrap"),
    *("iproute2", "iptables", "nftables", "podman", "runc"),
)

if __name__ == "__main__":
    print(*DEBIAN_PACKAGES)
