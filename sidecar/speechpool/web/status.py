"""/v1/pools, /v1/config and /readyz: how the sidecar is."""

from aiohttp import web

from speechpool.web.state import STATE

__all__ = ["get_config", "get_pool", "list_pools", "readyz"]


async def list_pools(request: web.Request) -> web.Response:
    """The snapshot of every pool."""
    pools = request.app[STATE].service.pools()
    return web.json_response({"object": "list", "data": list(pools.values())})


async def get_pool(request: web.Request) -> web.Response:
    """The snapshot of one pool."""
    return web.json_response(request.app[STATE].service.pool(request.match_info["name"]))


async def get_config(request: web.Request) -> web.Response:
    """The settings in force, where each came from, and what is wrong with a source."""
    return web.json_response(request.app[STATE].store.describe())


async def readyz(request: web.Request) -> web.Response:
    """200 while every pool is warm, else 503 with the reasons."""
    readiness = request.app[STATE].service.readiness()
    return web.json_response(readiness.as_dict(), status=200 if readiness.ready else 503)
