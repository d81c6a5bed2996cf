"""A process that starts the worker named by its argument, prints the worker's pid and waits to be killed."""

import asyncio
import sys

from speechpool.workers.process import WorkerProcess


async def main() -> None:
    """Start, tell, wait."""
    worker = WorkerProcess("echoing", [sys.argv[1]], name="orphan", on_frame=lambda *_: None)
    await worker.start()
    print(worker.pid, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
