"""The API server with SpeechPools: their CustomResourceDefinition installed, and objects made without a trace."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.apiserver import PATIENCE_SECONDS, ApiError, ApiServer

__all__ = ["CRD_FILE", "install_crd", "manifest", "try_create"]

CRD_FILE = Path(__file__).parents[2] / "crds" / "speechpools.speechpool.dev.yaml"

_DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/speechpools.speechpool.dev"


def install_crd(api: ApiServer, definition: str = "") -> None:
    """Apply a definition, that of the repository unless told; returns when objects of it can be made."""
    applied = api.apply(definition or CRD_FILE.read_text("utf-8"))
    assert applied.returncode == 0, applied.stderr
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not _is_established(api):
        assert time.monotonic() < give_up_at, "the CustomResourceDefinition is not served"
        time.sleep(0.05)


def _is_established(api: ApiServer) -> bool:
    conditions = api.get(_DEFINITION).get("status", {}).get("conditions") or ()  # null at first
    if not any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
        return False
    try:
        api.get("/apis/speechpool.dev/v1alpha1/speechpools")
    except ApiError:  # not found yet, or its storage is still being prepared
        return False
    return True


def manifest(spec: object, name: str = "voice") -> dict[str, Any]:
    """A SpeechPool; without a spec where it is None."""
    made: dict[str, Any] = {
        "apiVersion": "speechpool.dev/v1alpha1",
        "kind": "SpeechPool",
        "metadata": {"name": name},
    }
    return made if spec is None else made | {"spec": spec}


def try_create(api: ApiServer, body: Mapping[str, Any], namespace: str = "default") -> dict[str, Any]:
    """What the API server makes of an object under strict validation, without keeping it.

    Raises:
        ApiError: It refuses the object.
    """
    path = f"/apis/speechpool.dev/v1alpha1/namespaces/{namespace}/speechpools"
    made: dict[str, Any] = api.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", body)
    return made


@pytest.fixture(scope="session")
def pools_api(api: ApiServer) -> ApiServer:
    """The API server that knows SpeechPools."""
    install_crd(api)
    return api
