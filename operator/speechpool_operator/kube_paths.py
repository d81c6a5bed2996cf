"""Where the API server has SpeechPools and pods."""

from typing import Final

from speechpool_operator.names import GROUP, PLURAL, VERSION

__all__ = ["pods_path", "pools_path"]

_POOLS: Final = f"/apis/{GROUP}/{VERSION}"
_PODS: Final = "/api/v1"


def pools_path(namespace: str | None = None, name: str = "") -> str:
    """The path of one SpeechPool, or of those of a namespace; of all namespaces where none is given."""
    return _path(_POOLS, PLURAL, namespace, name)


def pods_path(namespace: str | None = None, name: str = "") -> str:
    """The path of one pod, or of those of a namespace; of all namespaces where none is given."""
    return _path(_PODS, "pods", namespace, name)


def _path(api: str, plural: str, namespace: str | None, name: str) -> str:
    where = f"{api}/namespaces/{namespace}/{plural}" if namespace else f"{api}/{plural}"
    return f"{where}/{name}" if name else where
