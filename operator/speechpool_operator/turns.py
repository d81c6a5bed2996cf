"""In which order connections enter that have not proved who they are, and which of them give way. Pure.

Each address stands for itself, so whoever opens many connections and says nothing holds up his own. A free turn goes to
an address that has none, else to the next in rotation. Where none is free, an address without one gets that which the
address with the most has had for longest: an honest sidecar is done with its turn in milliseconds, so what is taken is
a stranger's, who would need as many addresses as there are turns to keep it out.
"""

from typing import Protocol

__all__ = ["Entrant", "Turns"]


class Entrant(Protocol):
    """A connection that has not entered yet. Both methods are plain and quick."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    def begin(self) -> None:
        """Its turn has come."""

    def give_way(self) -> None:
        """It has to end, as another needs its place or its turn."""


class _Crowd:
    """Connections by their address, the oldest of each first."""

    def __init__(self) -> None:
        self._by_address: dict[str, dict[Entrant, None]] = {}
        self.size = 0

    @property
    def is_spread(self) -> bool:
        """Whether no address has two."""
        return self.size == len(self._by_address)

    def of(self, address: str) -> int:
        """How many of an address there are."""
        return len(self._by_address.get(address, ()))

    def oldest(self, address: str) -> Entrant:
        """The oldest of an address that has some."""
        return next(iter(self._by_address[address]))

    def surplus(self) -> Entrant:
        """The oldest of the address that has the most."""
        most: dict[Entrant, None] = max(self._by_address.values(), key=len)
        return next(iter(most))

    def add(self, entrant: Entrant) -> None:
        """Note one more."""
        self._by_address.setdefault(entrant.address, {})[entrant] = None
        self.size += 1

    def remove(self, entrant: Entrant) -> bool:
        """Forget one; whether it was there."""
        found = self._by_address.get(entrant.address, {})
        if entrant not in found:
            return False
        del found[entrant]
        self.size -= 1
        if not found:
            del self._by_address[entrant.address]
        return True


class Turns:
    """Who has a turn, and who waits for one.

    Args:
        turns: Most that have one.
        turns_per_address: Of these from one address.
        places: Most that wait.
    """

    def __init__(self, *, turns: int, turns_per_address: int, places: int) -> None:
        self._turns = turns
        self._turns_per_address = turns_per_address
        self._places = places
        self._waiting = _Crowd()
        self._entering = _Crowd()
        self._without: dict[str, None] = {}  # addresses that wait and have no turn, the longest waiting first
        self._rota: dict[str, None] = {}  # those that wait for one more, in rotation

    @property
    def is_full(self) -> bool:
        """Whether another has to wait outside: all places are taken, and none by an address that has two."""
        return self._waiting.size >= self._places and self._waiting.is_spread

    def of(self, address: str) -> int:
        """How many of an address wait or have a turn."""
        return self._waiting.of(address) + self._entering.of(address)

    def come(self, entrant: Entrant) -> None:
        """Let it begin, or wait for its turn; others may have to give way. Not to be called while it is full."""
        self._waiting.add(entrant)
        self._place(entrant.address)
        self._give()
        if self._waiting.size > self._places and not self._waiting.is_spread:
            self._end(self._waiting.surplus())

    def leave(self, entrant: Entrant) -> None:
        """Forget one that has entered or ended; without effect on one that gave way."""
        if self._forget(entrant):
            self._give()

    def _give(self) -> None:
        while (address := next(iter(self._without or self._rota), None)) is not None:
            if self._entering.size >= self._turns:
                if address not in self._without or self._entering.is_spread:
                    return
                self._end(self._entering.surplus())
            self._begin(self._waiting.oldest(address))

    def _begin(self, entrant: Entrant) -> None:
        self._waiting.remove(entrant)
        self._entering.add(entrant)
        self._rota.pop(entrant.address, None)  # to the end of the rotation, where it waits for more
        self._place(entrant.address)
        entrant.begin()

    def _end(self, entrant: Entrant) -> None:
        self._forget(entrant)
        entrant.give_way()

    def _forget(self, entrant: Entrant) -> bool:
        was_there = self._waiting.remove(entrant) or self._entering.remove(entrant)
        self._place(entrant.address)
        return was_there

    def _place(self, address: str) -> None:
        """Keep an address where its next turn is given from, at its place there."""
        has = self._entering.of(address)
        wants = self._waiting.of(address) > 0 and has < self._turns_per_address
        for queue, belongs in ((self._without, wants and not has), (self._rota, wants and has)):
            if belongs:
                queue.setdefault(address)
            else:
                queue.pop(address, None)
