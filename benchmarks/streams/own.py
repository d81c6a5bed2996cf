"""Many sidecars' own stream clients in one process: settings are read, merged, judged and taken as a sidecar does.

What a sidecar's pools do with settings is left out: nothing is kept warm here.
"""

import asyncio
import logging
import sys
from pathlib import Path

import uvloop

from speechpool.config.operator_connection import Place
from speechpool.config.operator_source import Usage
from speechpool.config.operator_stream import OperatorStream
from speechpool.config.store import ConfigStore
from speechpool.settings import Address
from speechpool.settings.wire import PoolState
from speechpool_operator.listener import raise_file_limit

USAGE = Usage(pools={"voice-0": PoolState(warm=4, wanted=4, ready=True)}, sessions=0, busy=0)


async def applied(old: object, new: object) -> None:
    """Take settings without doing anything with them."""


def stream_of(directory: Path, port: int, number: int) -> OperatorStream:
    store = ConfigStore([])
    place = Place(
        address=Address("localhost", port),
        ca_file=str(directory / "ca.crt"),
        token_file=str(directory / "tokens" / str(number)),
    )
    stream = OperatorStream(store, place, usage=lambda: USAGE, version="1.0")
    store.bind(applied, stream.on_update)
    return stream


async def main(directory: Path, port: int, count: int) -> None:
    raise_file_limit()
    logging.disable()  # a thousand of them tell at once that their operator is gone
    await asyncio.gather(*(stream_of(directory, port, number).run() for number in range(count)))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
