"""The fields of a JSON object, taken one by one with their types; what a value may be, the service decides."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, overload

from speechpool.errors import InvalidInput

__all__ = ["Fields", "parse_object"]


def parse_object(body: str | bytes | bytearray) -> dict[str, Any]:
    """A JSON object from a body or a message.

    Raises:
        InvalidInput: It is not JSON (code `invalid_json`), or not an object (code `invalid_type`).
    """
    try:
        value = _DECODER.decode(_text(body))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(f"not JSON: {error.msg} at {where}", code="invalid_json") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not JSON: byte {error.start} is not UTF-8", code="invalid_json") from None
    except RecursionError:
        raise InvalidInput("not JSON that can be read: nested too deeply", code="invalid_json") from None
    except ValueError:  # an integer of thousands of digits
        raise InvalidInput("not JSON that can be read: a number is too long", code="invalid_json") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"must be a JSON object, got {_kind(value)}", code="invalid_type")
    return value


class Fields:
    """Takes fields out of a JSON object; `unknown` are those that nobody took.

    Every method raises `InvalidInput` with the field as `param`: `missing_required_parameter` or `invalid_type`.
    JSON's null counts as absent, as in OpenAI's API.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._taken: set[str] = set()

    @property
    def unknown(self) -> list[str]:
        """Names of the fields that were not taken, in the sender's order."""
        return [name for name in self._values if name not in self._taken]

    def refuse_unknown(self) -> None:
        """Raise `InvalidInput` (code `unknown_parameter`) for the first field that was not taken."""
        for name in self.unknown:
            shown = name[:64]
            known = ", ".join(sorted(self._taken)) or "none"
            raise InvalidInput(
                f"{shown!r} is not a field here; the fields are {known}", param=shown, code="unknown_parameter"
            )

    def take(self, name: str) -> object:
        """Any value, or None where it is absent."""
        self._taken.add(name)
        return self._values.get(name)

    @overload
    def text(self, name: str, *, required: Literal[True]) -> str: ...
    @overload
    def text(self, name: str, *, default: str) -> str: ...
    @overload
    def text(self, name: str) -> str | None: ...
    def text(self, name: str, *, default: str | None = None, required: bool = False) -> str | None:
        """A string."""
        value = self.take(name)
        if value is None:
            return self._absent(name, "a string") if required else default
        return value if isinstance(value, str) else self._wrong(name, "a string", value)

    @overload
    def number(self, name: str, default: float) -> float: ...
    @overload
    def number(self, name: str, default: None) -> float | None: ...
    def number(self, name: str, default: float | None) -> float | None:
        """A number; no boolean."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(name, "a number", value)
        try:
            return float(value)
        except OverflowError:
            return float("inf")

    def integer(self, name: str) -> int | None:
        """A whole number; no boolean."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(name, "an integer", value)
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """A boolean."""
        value = self.take(name)
        if value is None:
            return default
        return value if isinstance(value, bool) else self._wrong(name, "a boolean", value)

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings; empty where it is absent."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._wrong(name, "an array of strings", value)
        return tuple(value)

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of several strings (else code `invalid_value`)."""
        value = self.text(name, default=default)
        if value not in choices:
            known = ", ".join(choices)
            raise InvalidInput(f"{name} must be one of {known}; got {value[:64]!r}", param=name, code="invalid_value")
        return value

    @staticmethod
    def _absent(name: str, wanted: str) -> NoReturn:
        raise InvalidInput(f"{name} is required: {wanted}", param=name, code="missing_required_parameter")

    @staticmethod
    def _wrong(name: str, wanted: str, value: object) -> NoReturn:
        raise InvalidInput(f"{name} must be {wanted}, got {_kind(value)}", param=name, code="invalid_type")


def _kind(value: object) -> str:
    kinds = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return kinds.get(type(value), "null")


def _text(body: str | bytes | bytearray) -> str:
    # as json.loads reads them: what cannot stand in a text is found where the text is looked at
    return body if isinstance(body, str) else body.decode(json.detect_encoding(body), "surrogatepass")


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"not JSON: {name} is not a JSON number", code="invalid_json")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads would make one for each body
