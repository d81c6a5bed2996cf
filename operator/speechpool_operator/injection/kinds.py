# ruff: noqa: D102 -- the methods of each kind are Kind's, documented there
"""Kinds of values that pods have and sidecars have not: quantities, names of Kubernetes objects. Pure."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from speechpool.settings.kinds import Kind, Refused
from speechpool_operator.injection.quantities import amount

__all__ = ["Image", "ObjectName", "Quantity"]


@dataclass(frozen=True, slots=True)
class Quantity(Kind[str]):
    """How much of a resource; kept as it was written.

    Args:
        minimum: The least, as a quantity.
        maximum: The most, as a quantity.
    """

    minimum: str
    maximum: str

    @property
    def expected(self) -> str:
        return f"a quantity from {self.minimum} to {self.maximum}"

    def of_text(self, text: str) -> str:
        try:
            found: Decimal = amount(text)
        except ValueError:
            raise Refused from None
        if not amount(self.minimum) <= found <= amount(self.maximum):
            raise Refused
        return text

    def of_value(self, value: object) -> str:
        # YAML reads a bare 1 as a number
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return self.of_text(str(value)) if is_number else Kind.of_value(self, value)


@dataclass(frozen=True, slots=True)
class ObjectName(Kind[str]):
    """The name of an object in Kubernetes (RFC 1123, a subdomain)."""

    @property
    def expected(self) -> str:
        return "the name of an object (1 to 253 of a-z, 0-9, - and ., a letter or digit at both ends)"

    def of_text(self, text: str) -> str:
        if len(text) > 253 or not _SUBDOMAIN.fullmatch(text):
            raise Refused
        return text


@dataclass(frozen=True, slots=True)
class Image(Kind[str]):
    """The reference of a container's image."""

    @property
    def expected(self) -> str:
        return "an image, as registry.example.org/speechpool/sidecar:1.0.0 (1 to 512 characters, no spaces)"

    def of_text(self, text: str) -> str:
        if not _IMAGE.fullmatch(text):
            raise Refused
        return text


_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
