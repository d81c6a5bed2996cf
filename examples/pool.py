"""The pool by itself, in any asyncio program and for anything that is slow to open."""

import asyncio

from speechpool.pools import WarmableResourcePool


class Connection:
    """Stands for what takes 200 ms to open."""

    async def ask(self, question: str) -> str:
        """Answer at once, because it is open."""
        return question.upper()

    async def close(self) -> None:
        """Called once for each, by the pool."""


async def open_connection() -> Connection:
    """Open one, slowly."""
    await asyncio.sleep(0.2)
    return Connection()


async def main() -> None:
    """Use warm connections, then one that a session keeps."""
    pool = WarmableResourcePool(
        factory=open_connection,
        name="example",
        warm_pool_size=2,
        enable_background_warmup=True,
        session_awareness=True,
        acquire_timeout=5.0,
    )
    async with pool:
        async with pool.lease() as lease:
            print(lease.tier, f"after {lease.wait_seconds * 1000:.2f} ms:", await lease.resource.ask("ready?"))
        for _ in range(2):
            connection, tier = await pool.acquire_for_session("call-1")
            print(tier, await connection.ask("same session"))
        await pool.release_for_session("call-1")
        print({key: pool.snapshot()[key] for key in ("ready", "warm_pool_size", "warm_pool_target", "waiting")})


if __name__ == "__main__":
    asyncio.run(main())
