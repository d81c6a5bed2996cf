"""The command `speechpool`, also as `python -m speechpool`."""

import sys

from speechpool.cli.commands import run

__all__ = ["main"]


def main() -> int:
    """Run the command that this process was started with; returns its exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
