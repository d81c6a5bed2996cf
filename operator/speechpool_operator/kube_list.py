"""Every object of a collection, a page after the other."""

from collections.abc import AsyncIterator
from typing import Any

from speechpool_operator.kube import KubeClient

__all__ = ["all_of", "pages"]

PAGE_OBJECTS = 500
"""In one page, as kubectl's."""


async def pages(
    client: KubeClient, path: str, *, accept: str = "application/json", **params: str
) -> AsyncIterator[dict[str, Any]]:
    """A collection, as lists of at most 500 `items` each.

    Args:
        client: The API client.
        path: Of the collection.
        accept: `METADATA_LIST` for metadata alone.
        **params: Of the query.

    Raises:
        KubeError: The API server refused it.
        KubeUnavailable: It did not answer in time.
    """
    more: dict[str, str] = {}
    while True:
        page = await client.get(path, accept=accept, limit=str(PAGE_OBJECTS), **params, **more)
        yield page
        token = page["metadata"].get("continue")
        if not token:
            return
        more = {"continue": token}


async def all_of(
    client: KubeClient, path: str, *, accept: str = "application/json", **params: str
) -> list[dict[str, Any]]:
    """The objects of a collection, all at once; arguments and errors are those of `pages`."""
    lists = pages(client, path, accept=accept, **params)
    return [one async for page in lists for one in page.get("items") or ()]
