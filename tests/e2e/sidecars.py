"""SpeechPools and real sidecars in a namespace of a real API server, as the tests of the operator look at them."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cluster.apiserver import ApiError, ApiServer
from tests.cluster.operators import Operator
from tests.cluster.speechpools import manifest
from tests.integration.sidecar import Sidecar, eventually, running_sidecar

__all__ = ["FALLBACK", "INJECTED", "Calls", "applied_size", "sidecar_of"]

INJECTED = {"speechpool.dev/injected": "true"}
FALLBACK = 1
"""The warm size of a sidecar's own environment, which holds where no object sets one."""


def spec(warm_size: int, app: str = "voice", **more: Any) -> dict[str, Any]:
    """The spec of an object that selects by the label `app` and keeps so many voices warm."""
    pools = [{"name": "tts", "kind": "TextToSpeech", "warmSize": warm_size}]
    return {"selector": {"matchLabels": {"app": app}}, "pools": pools, **more}


class Calls:
    """One namespace with its SpeechPools.

    Args:
        api: The API server.
        name: The namespace; a new one by default.
    """

    def __init__(self, api: ApiServer, name: str | None = None) -> None:
        self.api = api
        self.name = name or api.namespace()
        self.path = f"/apis/speechpool.dev/v1alpha1/namespaces/{self.name}/speechpools"
        self.pods = f"/api/v1/namespaces/{self.name}/pods"

    def apply(self, name: str, warm_size: int, app: str = "voice", **more: Any) -> None:
        """`kubectl apply` an object."""
        made = manifest(spec(warm_size, app, **more), name)
        made["metadata"]["namespace"] = self.name
        done = self.api.apply(made)
        assert done.returncode == 0, done.stderr

    def edit(self, name: str, **spec: Any) -> int:
        """Change values of an object; its new generation."""
        changed = self.api.patch(f"{self.path}/{name}", {"spec": spec})
        return int(changed["metadata"]["generation"])

    def delete(self, name: str) -> None:
        """`kubectl delete` an object."""
        done = self.api.kubectl("delete", "speechpool", name, "-n", self.name)
        assert done.returncode == 0, done.stderr

    def clear(self) -> None:
        """Delete every object."""
        self.api.delete(self.path)

    def pod(self, name: str, app: str = "voice", pool: str = "") -> None:
        """A new pod with a sidecar."""
        annotations = {"speechpool.dev/pool": pool} if pool else {}
        self.api.pod(self.name, name, labels={"app": app, **INJECTED}, annotations=annotations)

    def change_pod(self, name: str, **metadata: Mapping[str, str | None]) -> None:
        """Change labels or annotations; None takes one away."""
        self.api.patch(f"{self.pods}/{name}", {"metadata": metadata})

    def status(self, name: str) -> dict[str, Any]:
        """An object's status; empty where there is none."""
        with contextlib.suppress(ApiError):
            return dict(self.api.get(f"{self.path}/{name}").get("status") or {})
        return {}

    def becomes(self, name: str, *, without: str = "", counts: Mapping[str, int] | None = None, **wanted: str) -> None:
        """Wait until conditions are so: each given as its type with "Status/Reason"."""

        def is_so() -> bool:
            status = self.status(name)
            found = {one["type"]: f"{one['status']}/{one['reason']}" for one in status.get("conditions", [])}
            return (
                all(found.get(kind) == told for kind, told in wanted.items())
                and without not in found
                and all(status.get(key) == value for key, value in (counts or {}).items())
            )

        waited(is_so, lambda: json.dumps(self.status(name), indent=1))

    def settles(self, name: str, generation: int, everybody: int) -> None:
        """Wait until an object's status says that everybody runs this generation, and of nothing that is wrong."""
        counts = {**dict.fromkeys(("matched", "connected", "synced"), everybody), "failed": 0, "missing": 0}
        counts["observedGeneration"] = generation
        self.becomes(name, Accepted="True/Valid", Synced="True/AllSynced", without="Stale", counts=counts)


def waited(is_so: Callable[[], bool], told: Callable[[], object]) -> None:
    """Wait until something is so, and tell how it is where it does not become so."""
    try:
        eventually(is_so)
    except AssertionError:
        raise AssertionError(f"it did not become so: {told()}") from None


def applied_size(sidecar: Sidecar) -> int:
    """How many voices a sidecar keeps warm now."""
    return int(sidecar.client.get_json("/v1/pools/tts")["warm_pool_target"])


@contextlib.contextmanager
def sidecar_of(calls: Calls, pod: str, operator: Operator, directory: Path, **env: str) -> Iterator[Sidecar]:
    """The real sidecar of a pod that is there, with the local engine and one voice."""
    directory.mkdir(exist_ok=True)
    token = directory / "token"
    token.write_text(calls.api.token(calls.name, pod))
    ours = {
        "SPEECHPOOL_OPERATOR": operator.address,
        "SPEECHPOOL_OPERATOR_CA_FILE": str(operator.ca_file),
        "SPEECHPOOL_OPERATOR_TOKEN_FILE": str(token),
        "SPEECHPOOL_STATE_DIR": str(directory / "state"),
        "SPEECH_POOL_WARM_SIZE": str(FALLBACK),
    }
    (directory / "state").mkdir(exist_ok=True)
    config = {"pools": [{"name": "tts", "kind": "TextToSpeech"}]}
    with running_sidecar(directory, env={**ours, **env}, config=config) as sidecar:
        yield sidecar
