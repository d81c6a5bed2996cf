"""The CustomResourceDefinition and its reference, made from the settings model.

python -m speechpool_operator.crd --write
python -m speechpool_operator.crd --check
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from speechpool_operator.crd_reference import reference
from speechpool_operator.names import GROUP, KIND, PLURAL, VERSION
from speechpool_operator.schema import spec_schema
from speechpool_operator.schema_status import status_schema

__all__ = ["CRD_FILE", "crd_text", "custom_resource_definition", "main"]

CRD_FILE: Final = f"crds/{PLURAL}.{GROUP}.yaml"
REFERENCE_FILE: Final = "docs/reference.md"

_HEADER: Final = "# Made by `make docs` from the settings model: change that instead.\n"


def custom_resource_definition() -> dict[str, Any]:
    """The CustomResourceDefinition of SpeechPool."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "speechpool"}},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": "speechpool",
                "shortNames": ["spool"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(),
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "Settings for the speech sidecars of the pods that it selects. The operator sends them "
                "to the sidecars, which apply them while they serve.",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
                    "kind": {"type": "string", "description": f"{KIND}."},
                    "metadata": {"type": "object"},
                    "spec": spec_schema(),
                    "status": status_schema(),
                },
            }
        },
    }


def _columns() -> list[dict[str, Any]]:
    """What `kubectl get` shows; a priority above 0 only with `-o wide`."""
    return [
        _column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether every pool is at its warm size."),
        _column("Warm", ".status.warm.now", "Warm clients.", "integer"),
        _column("Wanted", ".status.warm.wanted", "Clients that should be warm.", "integer"),
        _column("Synced", ".status.synced", "Sidecars that run this generation.", "integer"),
        _column("Matched", ".status.matched", "Pods with a sidecar that this is for.", "integer"),
        _column("Age", ".metadata.creationTimestamp", "Time since the object was made.", "date"),
        _column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not.", wide=True),
        _column("Priority", ".spec.priority", "The object's priority.", "integer", wide=True),
        _column("Connected", ".status.connected", "Sidecars connected to the operator.", "integer", wide=True),
        _column("Failed", ".status.failed", "Sidecars that refused this generation.", "integer", wide=True),
        _column("Missing", ".status.missing", "Pods that lack their sidecar.", "integer", wide=True),
        _column("Error", ".status.lastError.message", "What a sidecar last refused.", wide=True),
    ]


def _column(name: str, path: str, description: str, kind: str = "string", *, wide: bool = False) -> dict[str, Any]:
    made = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return made | ({"priority": 1} if wide else {})


def crd_text() -> str:
    """The CustomResourceDefinition as YAML."""
    written = yaml.safe_dump(custom_resource_definition(), sort_keys=False, allow_unicode=True, width=120)
    return _HEADER + str(written)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files that are made from the settings model, or tell which of them are not what it makes."""
    parser = argparse.ArgumentParser(prog="python -m speechpool_operator.crd", description=main.__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--write", action="store_true", help="write the files")
    which.add_argument("--check", action="store_true", help="exit with 1 where a file is not what would be written")
    parser.add_argument("--root", type=Path, default=Path(), metavar="DIRECTORY", help="where the files are (.)")
    args = parser.parse_args(arguments)
    made = {args.root / CRD_FILE: crd_text(), args.root / REFERENCE_FILE: reference(custom_resource_definition())}
    return _write(made) if args.write else _check(made)


def _write(made: dict[Path, str]) -> int:
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


def _check(made: dict[Path, str]) -> int:
    stale = [str(path) for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        sys.stderr.write(f"{path} is not what the settings model makes: python -m speechpool_operator.crd --write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
