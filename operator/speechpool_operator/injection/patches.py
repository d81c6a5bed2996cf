"""JSON patches (RFC 6902), as far as an injection needs them. Pure."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Operation", "add", "applied", "pointer"]

Operation = Mapping[str, Any]
"""One step: `op` (always add, which sets a member of an object and inserts into a list), `path` and `value`."""


def add(path: str, value: object) -> Operation:
    """Set a member of an object, or insert into a list."""
    return {"op": "add", "path": path, "value": value}


def pointer(*keys: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in keys)


def applied(document: Mapping[str, Any], operations: Iterable[Operation]) -> dict[str, Any]:
    """A document as it is after a patch of `add` operations; the given one stays as it is."""
    made = copy.deepcopy(dict(document))
    for one in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]]
        at: Any = made
        for key in parents:
            at = at[int(key)] if isinstance(at, list) else at[key]
        value = copy.deepcopy(one["value"])
        if isinstance(at, list):
            at.insert(len(at) if last == "-" else int(last), value)
        else:
            at[last] = value
    return made
