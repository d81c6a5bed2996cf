"""`speechpool-operator version`."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["configure", "run"]

_OTHERS = ("kopf", "aiohttp", "uvloop")


def configure(parser: argparse.ArgumentParser) -> None:
    """It has no arguments."""


def run(_: argparse.Namespace) -> int:
    """Print the versions."""
    print(f"speechpool-operator {version('speechpool')}")
    print(f"python {platform.python_version()}")
    for name in _OTHERS:
        print(f"{name} {_version(name)}")
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"
