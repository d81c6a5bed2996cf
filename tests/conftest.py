"""Fixtures that every test may use."""

import asyncio

pytest_plugins = ["tests.integration.sidecar", "tests.cluster.apiserver"]


def pytest_configure() -> None:
    """Say that the main thread has no event loop.

    looptime's plugin asks for it before each synchronous test, and asyncio would make one that nobody closes; its
    ResourceWarning then fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)
