"""A small world for pool tests: clients that remember what happened to them, and a service with dials.

The service can be slow, refuse, hang or come back; what the pool did with each client is read off the clients.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from speechpool.pools import OnDemandResourcePool, WarmableResourcePool

__all__ = ["CREATION_SECONDS", "Client", "ServiceDown", "SlowDown", "World"]

CREATION_SECONDS = 0.2
"""The cold start of a speech client, as the pool's documentation has it."""


class ServiceDown(Exception):
    """What the service answers while it is down."""


class SlowDown(Exception):
    """What the service answers while it wants to be spared for a while."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("too many requests")
        self.retry_after_seconds = retry_after_seconds


class Client:
    """One pooled client. A user writes its name into `owner`; a reset clears it."""

    def __init__(self, number: int, world: "World", began_at: float = 0.0) -> None:
        self.number = number
        self.began_at = began_at  # loop time at which its creation began
        self.owner: str | None = None
        self.is_ready = True
        self.warmed = 0
        self.resets = 0
        self.closes = 0
        self.close_started = False
        self.close_ended = False
        self._world = world

    def __repr__(self) -> str:
        return f"<client {self.number}>"

    def clear_session_state(self) -> None:
        self.resets += 1
        if self._world.reset_error:
            raise self._world.reset_error
        self.owner = None

    async def close(self) -> None:
        self.close_started = True
        self.closes += 1
        self.is_ready = False
        await asyncio.sleep(self._world.close_seconds)
        self.close_ended = True


class World:
    """Makes clients, and knows every one it made."""

    def __init__(self, **dials: Any) -> None:
        self.creation_seconds: float = CREATION_SECONDS
        self.warm_seconds: float = 0.0
        self.close_seconds: float = 0.0
        self.down = False  # creations fail, at their end
        self.spare_seconds: float | None = None  # creations fail, and ask for a pause of so long
        self.hanging = False  # creations that begin now never end
        self.warm_result: Any = True
        self.reset_error: Exception | None = None
        self.made: list[Client] = []
        self.attempts: list[float] = []  # loop time at the start of each creation
        self.creating = 0
        self.most_creating = 0
        for name, value in dials.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    async def create(self) -> Client:
        """The pool's factory."""
        began_at = asyncio.get_running_loop().time()
        self.attempts.append(began_at)
        self.creating += 1
        self.most_creating = max(self.most_creating, self.creating)
        try:
            if self.hanging:
                await asyncio.sleep(1e9)
            await asyncio.sleep(self.creation_seconds)
            if self.down:
                raise ServiceDown("service down")
            if self.spare_seconds is not None:
                raise SlowDown(self.spare_seconds)
        finally:
            self.creating -= 1
        client = Client(len(self.made) + 1, self, began_at)
        self.made.append(client)
        return client

    async def warm(self, client: Client) -> Any:
        """The pool's warm_fn."""
        await asyncio.sleep(self.warm_seconds)
        client.warmed += 1
        if isinstance(self.warm_result, Exception):
            raise self.warm_result
        return self.warm_result

    def bare_pool(self, **settings: Any) -> WarmableResourcePool[Client]:
        """A pool on this world, not prepared; the test ends it."""
        return WarmableResourcePool(factory=self.create, name="tts_pool", **settings)

    def on_demand_pool(self, **settings: Any) -> OnDemandResourcePool[Client]:
        """The lightweight pool on this world; the test ends it."""
        return OnDemandResourcePool(factory=self.create, name="tts_pool", **settings)

    @asynccontextmanager
    async def pool(self, **settings: Any) -> AsyncIterator[WarmableResourcePool[Client]]:
        """A prepared pool, shut down at the end; then the books must balance and all but what is out be closed once."""
        async with self.bare_pool(**settings) as pool:
            yield pool
        self.check_books(pool)
        left = {state: count for state, count in pool.snapshot()["items"].items() if count}
        assert left.keys() <= {"out"}, f"left after shutdown: {left}"
        if "close_fn" not in settings:
            assert sum(client.closes for client in self.made) == pool.snapshot()["metrics"]["items_closed"]

    def check_books(self, pool: WarmableResourcePool[Client] | OnDemandResourcePool[Client]) -> None:
        """What holds for every pool at every time."""
        snapshot = pool.snapshot()
        metrics = snapshot["metrics"]
        inside = sum(count for state, count in snapshot["items"].items() if state != "creating")
        assert metrics["items_made"] == metrics["items_closed"] + inside == len(self.made)
        assert not [client for client in self.made if client.closes > 1]
        failures = ("timeout", "error", "cancelled", "rejected")
        served = ("dedicated", "warm", "cold")
        assert metrics["allocations_total"] == sum(metrics[f"allocations_{end}"] for end in (*served, *failures))

    @property
    def open(self) -> list[Client]:
        """The clients nobody has begun to close."""
        return [client for client in self.made if not client.close_started]

    @property
    def closed(self) -> list[Client]:
        """The clients whose close has begun."""
        return [client for client in self.made if client.close_started]

    def lost(self, accounted: Iterable[Client]) -> list[Client]:
        """Open clients that are not among the accounted ones."""
        known = set(accounted)
        return [client for client in self.open if client not in known]
