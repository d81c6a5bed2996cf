"""The collector rests while much is imported, and no longer."""

import contextlib
import gc
from collections.abc import Iterator

import pytest

from speechpool.cli.imports import uncollected


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    gc.enable()


def test_the_collector_rests_and_goes_on_whatever_happens() -> None:
    with contextlib.suppress(ImportError), uncollected():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_who_keeps_it_still_finds_it_so() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
