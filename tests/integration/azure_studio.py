"""Fixtures of the tests of synthesis with Azure: an emulator for each module, and clients of it for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.integration.azure_speaking import Studio, studio_at

from speechpool_azure_emulator import RunningEmulator, running_emulator

__all__ = ["emulator", "service", "studio"]


@pytest.fixture(scope="module")
def service() -> Iterator[RunningEmulator]:
    with running_emulator(first_chunk_seconds=0.02) as emulator:
        yield emulator


@pytest.fixture
def emulator(service: RunningEmulator) -> Iterator[RunningEmulator]:
    """As it was at the start, whatever the test did to it."""
    yield service
    service.faults.clear()
    service.configure(pace=0.0, upgrade_seconds=0.0, first_chunk_seconds=0.02, max_connection_seconds=600)
    service.reset_records()


@pytest.fixture
async def studio(emulator: RunningEmulator) -> AsyncIterator[Studio]:
    async with studio_at(emulator.url) as studio:
        yield studio
