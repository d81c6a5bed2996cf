"""Fixtures that every test may use."""

import asyncio
import signal

from hypothesis import settings

pytest_plugins = ["tests.integration.sidecar"]

# without a clock: a slow machine is no failure
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_configure() -> None:
    """Say that the main thread has no event loop, and that Ctrl-C is not ignored.

    looptime's plugin asks for the loop before each synchronous test, and asyncio would make one that nobody closes; its
    ResourceWarning then fails whichever test runs when it is collected. A shell lets what it starts in the background
    ignore Ctrl-C, and every process of a test would inherit that.
    """
    asyncio.set_event_loop(None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
