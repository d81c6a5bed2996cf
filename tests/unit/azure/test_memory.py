"""The C library is told to keep few heaps; one that cannot is left alone."""

import ctypes
import platform

import pytest

from speechpool.speech.azure.memory import bound_arenas


@pytest.mark.parametrize("times", [1, 2])
def test_the_gnu_library_takes_it_as_often_as_it_is_told(times: int):
    assert [bound_arenas() for _ in range(times)] == [platform.libc_ver()[0] == "glibc"] * times


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert bound_arenas() is False
