"""Every object of a list, a page after the other."""

from typing import Any

from speechpool_operator.kube import KubeClient

__all__ = ["all_of"]

_PAGE_OBJECTS = "500"
"""In one page, as kubectl's."""


async def all_of(
    client: KubeClient, path: str, *, accept: str = "application/json", **params: str
) -> list[dict[str, Any]]:
    """Every object of a collection.

    Args:
        client: The API client.
        path: Of the collection.
        accept: `METADATA_LIST` for metadata alone.
        **params: Of the query.

    Raises:
        KubeError: The API server refused it.
        KubeUnavailable: It did not answer in time.
    """
    items: list[dict[str, Any]] = []
    token = ""
    while True:
        more = {"continue": token} if token else {}
        page = await client.get(path, accept=accept, limit=_PAGE_OBJECTS, **params, **more)
        items.extend(page.get("items") or ())
        token = page["metadata"].get("continue") or ""
        if not token:
            return items
