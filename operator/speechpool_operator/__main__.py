"""The command `speechpool-operator`, also as `python -m speechpool_operator`."""

import sys

from speechpool_operator.cli import run

__all__ = ["main"]


def main() -> int:
    """Run the command that this process was started with; returns its exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
