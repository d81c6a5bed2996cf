"""How many examples Hypothesis tries: few in each run of the tests, many where TEST_EXAMPLES asks for them."""

import os

__all__ = ["examples"]

_TIMES = int(os.environ.get("TEST_EXAMPLES", "1"))


def examples(few: int) -> int:
    """`few`, times what TEST_EXAMPLES says (1)."""
    return few * _TIMES
