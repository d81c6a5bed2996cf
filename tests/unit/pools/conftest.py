"""What all tests of the pools share."""

import asyncio
import time

import pytest


@pytest.fixture(autouse=True)
def _wall_clock_goes_with_the_loop(monkeypatch):
    """Ages taken from the wall clock would otherwise stand still in virtual time, and hide that they are."""
    real = time.time

    def wall_clock() -> float:
        try:
            return 1_700_000_000.0 + asyncio.get_running_loop().time()
        except RuntimeError:
            return real()

    monkeypatch.setattr(time, "time", wall_clock)
