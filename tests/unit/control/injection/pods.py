"""Pods for the tables of the injector, and pods as they are after an injection."""

import copy
from typing import Any

from speechpool_operator.injection.config import InjectorConfig
from speechpool_operator.injection.injecting import Injection, inject
from speechpool_operator.injection.patches import applied

CONFIG = InjectorConfig(image="speechpool/sidecar:1", operator="speechpool-operator.speechpool-system.svc:8443")
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def pod(
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    containers: list[dict[str, Any]] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A pod that asks for a sidecar, unless told."""
    metadata: dict[str, Any] = {"labels": {"speechpool.dev/inject": "true"} if labels is None else labels}
    if annotations is not None:
        metadata["annotations"] = annotations
    own = [{"name": "app", "image": "app"}] if containers is None else containers
    return {"metadata": metadata, "spec": {"containers": own, **spec}}


def injected(manifest: dict[str, Any], config: InjectorConfig = CONFIG, **how: Any) -> dict[str, Any]:
    """The pod as it is afterwards; the one given stays as it is."""
    before = copy.deepcopy(manifest)
    made = applied(manifest, inject(manifest, config, **{"ca": CA, **how}).patch)
    assert manifest == before
    return made


def result(manifest: dict[str, Any], config: InjectorConfig = CONFIG, **how: Any) -> Injection:
    """What is decided."""
    return inject(manifest, config, **how)


def sidecar(manifest: dict[str, Any]) -> dict[str, Any]:
    """The sidecar of an injected pod."""
    return next(one for one in manifest["spec"]["initContainers"] if one["name"] == "speechpool")


def env(container: dict[str, Any]) -> dict[str, Any]:
    """A container's variables: the value, or where it comes from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container.get("env", ())}


def names(values: list[dict[str, Any]]) -> list[str]:
    """The names in a list."""
    return [one["name"] for one in values]
