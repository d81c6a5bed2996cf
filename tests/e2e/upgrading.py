"""A namespace with pods, an upgrader's ServiceAccount and its fence, and a kubelet that the test plays."""

import contextlib
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.cluster.apiserver import PATIENCE_SECONDS, ApiError, ApiServer

from speechpool_operator.names import INJECTED_LABEL, SIDECAR_CONTAINER
from speechpool_operator.upgrade.fence import MESSAGE, fence

OLD, IMAGE = "speechpool/sidecar:1", "speechpool/sidecar:2"
_POLICIES = "/apis/admissionregistration.k8s.io/v1"


class Fenced:
    """The namespace.

    Args:
        api: The API server.
    """

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.namespace = api.namespace()
        api.service_account(self.namespace, "upgrader")
        self.user = f"system:serviceaccount:{self.namespace}:upgrader"
        self.name = f"upgrader-{self.namespace}"
        self.token = api.token(self.namespace, None, account="upgrader", audience="https://kubernetes.default.svc")
        self._tls = ssl.create_default_context(cafile=str(api.directory / "ca.crt"))
        self.may("pods", "list", "patch")
        self.may("events", "create")

    def may(self, resource: str, *verbs: str) -> None:
        """Give the ServiceAccount a right."""
        within = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        name = resource.replace("/", "-")
        self.api.post(
            f"{within}/roles",
            {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": verbs}]},
        )
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"kind": "ServiceAccount", "name": "upgrader", "namespace": self.namespace}
        self.api.post(f"{within}/rolebindings", {"metadata": {"name": name}, "subjects": [subject], "roleRef": role})

    # --- the fence ---

    def put_up(self) -> None:
        """Make the fence; returns when the API server holds it against a change."""
        policy, binding = fence(image=IMAGE, user=self.user, name=self.name)
        self.api.post(f"{_POLICIES}/validatingadmissionpolicies", policy)
        self.api.post(f"{_POLICIES}/validatingadmissionpolicybindings", binding)
        self.pod("probe")
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not self._holds():
            assert time.monotonic() < give_up_at, "the fence is not in force"
            time.sleep(0.1)

    def take_down(self) -> None:
        """Remove it."""
        for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            with contextlib.suppress(ApiError):
                self.api.delete(f"{_POLICIES}/{kind}/{self.name}")

    def _holds(self) -> bool:
        try:
            self.patch("probe", [{"op": "add", "path": "/metadata/labels/probe", "value": "1"}])
        except ApiError as error:
            return MESSAGE in error.message
        return False

    # --- as the upgrader ---

    def patch(self, pod: str, operations: Sequence[Mapping[str, Any]]) -> Any:
        """A JSON patch of a pod, by the ServiceAccount."""
        return self.request("PATCH", f"pods/{pod}", operations, content_type="application/json-patch+json")

    def request(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/merge-patch+json"
    ) -> Any:
        """A request within the namespace, by the ServiceAccount."""
        request = urllib.request.Request(
            f"{self.api.url}/api/v1/namespaces/{self.namespace}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "content-type": "application/json" if method == "POST" else content_type,
                "authorization": f"Bearer {self.token}",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS, context=self._tls) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from None

    # --- pods ---

    def pod(
        self, name: str, *, labels: Mapping[str, str] | None = None, is_native: bool = True, owner: str = ""
    ) -> str:
        """A pod with a sidecar on a node that does not exist; its uid."""
        sidecar = {"name": SIDECAR_CONTAINER, "image": OLD} | ({"restartPolicy": "Always"} if is_native else {})
        metadata: dict[str, Any] = {
            "name": name,
            "labels": {INJECTED_LABEL: "true"} if labels is None else dict(labels),
        }
        if owner:
            of = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
            metadata["ownerReferences"] = [of]
        spec = {
            "nodeName": "nowhere",
            "automountServiceAccountToken": False,
            "tolerations": [{"key": "already", "operator": "Exists"}],
            "initContainers": [{"name": "before", "image": "before:1"}, sidecar],
            "containers": [{"name": "app", "image": "app:1"}],
        }
        made = self.api.post(f"/api/v1/namespaces/{self.namespace}/pods", {"metadata": metadata, "spec": spec})
        return str(made["metadata"]["uid"])

    def image(self, name: str) -> str:
        """The image of a pod's sidecar."""
        spec = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods/{name}")["spec"]
        return str(spec["initContainers"][1]["image"])

    def report(self, name: str, container: str, *, restarts: int = 0, started: bool = True) -> None:
        """Report the sidecar's container, as a kubelet does."""
        state = {"running": {"startedAt": "2026-11-01T00:00:00Z"}} if container else {"waiting": {"reason": "Starting"}}
        status: dict[str, Any] = {
            "name": SIDECAR_CONTAINER,
            "image": OLD,
            "imageID": "",
            "ready": started,
            "started": started,
            "restartCount": restarts,
            "state": state,
        }
        if container:
            status["containerID"] = f"containerd://{container}"
        self.api.patch(
            f"/api/v1/namespaces/{self.namespace}/pods/{name}/status",
            {"status": {"phase": "Running", "initContainerStatuses": [status]}},
        )


@contextlib.contextmanager
def fenced(api: ApiServer) -> Iterator[Fenced]:
    """The namespace with the fence in force."""
    made = Fenced(api)
    try:
        made.put_up()
        yield made
    finally:
        made.take_down()
