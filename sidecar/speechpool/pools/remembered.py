"""Which objects the pool has closed, so that a second release of one is known for what it is."""

import weakref
from collections import OrderedDict

__all__ = ["Remembered"]

MOST_HELD = 64
"""Closed objects without weak references that are held on to. A guess: a second release comes soon after the first."""


class Remembered:
    """A set of objects by identity that keeps none alive, as far as their classes allow."""

    __slots__ = ("_held", "_weak")

    def __init__(self) -> None:
        self._weak: dict[int, weakref.ref[object]] = {}
        self._held: OrderedDict[int, object] = OrderedDict()

    def add(self, thing: object) -> None:
        """Remember an object: for its life, or as one of the last few if its class has no weak references."""
        key = id(thing)
        try:
            self._weak[key] = weakref.ref(thing, lambda _: self._weak.pop(key, None))
        except TypeError:
            self._held[key] = thing
            if len(self._held) > MOST_HELD:
                self._held.popitem(last=False)

    def discard(self, thing: object) -> None:
        """Forget an object."""
        self._weak.pop(id(thing), None)
        self._held.pop(id(thing), None)

    def __contains__(self, thing: object) -> bool:
        key = id(thing)
        weak = self._weak.get(key)
        return key in self._held or (weak is not None and weak() is thing)
