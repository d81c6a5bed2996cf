"""`speechpool version`: what is installed."""

import argparse
import platform
from importlib import metadata

__all__ = ["configure", "run"]

DESCRIPTION = """\
Show the version of SpeechPool, of Python, and of what is installed beside it, and which engines there are."""

_PARTS = ("aiohttp", "uvloop", "av", "soxr", "espeakng-loader", "pocketsphinx", "openai")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `version`."""
    parser.description = DESCRIPTION


def run(args: argparse.Namespace) -> int:  # noqa: ARG001 # every command takes them
    """Show them."""
    engines = sorted(entry.name for entry in metadata.entry_points(group="speechpool.engines"))
    print(f"speechpool {metadata.version('speechpool')}")
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"engines: {', '.join(engines)}")
    print(f"with: {', '.join(f'{part} {version}' for part in _PARTS if (version := _version_of(part)))}")
    return 0


def _version_of(part: str) -> str | None:
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return None
