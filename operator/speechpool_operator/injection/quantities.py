"""Kubernetes quantities: how much of a resource, as 100m or 128Mi. Pure."""

import re
from decimal import Decimal
from typing import Final

__all__ = ["amount"]

_FORM: Final = re.compile(
    r"(\+?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?"
)

_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def amount(quantity: object) -> Decimal:
    """How much a quantity is, in cores or bytes; 1000m and 1 are the same.

    Args:
        quantity: As the API has it: text, or in a manifest a number too.

    Raises:
        ValueError: It is no quantity, or below zero.
    """
    if isinstance(quantity, bool) or not isinstance(quantity, str | int | float):
        raise ValueError(f"{quantity!r} is no quantity")  # noqa: TRY004 -- whoever reads a manifest expects one error
    found = _FORM.fullmatch(str(quantity).strip())
    if not found:
        raise ValueError(f"{quantity!r} is no quantity")
    number, unit, exponent = Decimal(found[1]), found[2] or "", int(found[3] or 0)
    if unit in _BINARY:
        return number * Decimal(1024 ** _BINARY[unit])
    return number.scaleb(_DECIMAL.get(unit, exponent))
