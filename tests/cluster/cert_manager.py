"""cert-manager beside a Kubernetes of the tests: its definitions, and its controllers as a process of this machine."""

import contextlib
import time
from collections.abc import Iterator

from tests.cluster.apiserver import ApiServer, Process
from tests.cluster.tools import cert_manager_binary, foreign_definitions

__all__ = ["certificates_path", "renew", "running_cert_manager"]

_GROUP = "cert-manager.io"


@contextlib.contextmanager
def running_cert_manager(api: ApiServer) -> Iterator[None]:
    """A cert-manager with the administrator's rights, and nothing of it afterwards."""
    definitions = [word for file in foreign_definitions(_GROUP) for word in ("--filename", str(file))]
    applied = api.kubectl("apply", "--server-side", *definitions)
    assert applied.returncode == 0, applied.stderr
    established = api.kubectl("wait", "--for=condition=Established", *definitions, "--timeout=30s")
    assert established.returncode == 0, established.stderr
    process = Process([str(cert_manager_binary()), str(api.kubeconfig())], api.directory / "certmanager.log")
    process.start()
    try:
        yield
        assert process.is_alive, process.tail()
    finally:
        process.end()
        api.kubectl("delete", *definitions)


def certificates_path(namespace: str) -> str:
    """Where the Certificates of a namespace are."""
    return f"/apis/{_GROUP}/v1/namespaces/{namespace}/certificates"


def renew(api: ApiServer, namespace: str, name: str) -> None:
    """Have a certificate made anew, as `cmctl renew` does; without effect while it is being made."""
    path = f"{certificates_path(namespace)}/{name}"
    if any(each["type"] == "Issuing" for each in api.get(path)["status"]["conditions"]):
        return
    condition = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
        "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    added = [{"op": "add", "path": "/status/conditions/-", "value": condition}]
    api.request("PATCH", f"{path}/status", added, content_type="application/json-patch+json")
