# ruff: noqa: ARG002 -- the methods are those of a config server's Fleet
"""The operator's config server, with the API server's part left out."""

import asyncio
import gc
import sys
import time
from pathlib import Path

import uvloop
from streams.rounds import Rounds

from speechpool.settings.wire import Applying, Hello, NewSettings, State
from speechpool_operator.cli.run import YOUNG_OBJECTS
from speechpool_operator.config_server import ConfigServer
from speechpool_operator.identity import PodIdentity
from speechpool_operator.listener import listening_socket, raise_file_limit
from speechpool_operator.streams import Cell
from speechpool_operator.tls import Certificates


class Fleet:
    """Every sidecar gets the same."""

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        self.told: dict[str, int] = {}
        self.rounds = Rounds(self.push, lambda: len(self.cells))

    def push(self, message: NewSettings) -> None:
        for cell in self.cells.values():
            cell.put(message)

    def connected(self, pod: PodIdentity, hello: Hello, cell: Cell) -> None:
        self.cells[pod.uid] = cell

    def said(self, uid: str, cell: Cell, state: State) -> None:
        generation = state.applied.generation if state.applied and state.state is Applying.APPLIED else 0
        if self.told.get(uid, 0) < generation:  # it says so again in answer to each heartbeat
            self.told[uid] = generation
            self.rounds.acknowledged()

    def gone(self, uid: str, cell: Cell) -> None:
        del self.cells[uid]


async def identify(token: str) -> PodIdentity:
    return PodIdentity(
        namespace="calls", name=token, uid=token, service_account="a", metadata={}, expires_at=time.time() + 3600
    )


async def main(directory: Path) -> None:
    raise_file_limit()
    gc.freeze()  # as `speechpool-operator run` does
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    fleet, certificates = Fleet(), Certificates(directory / "tls.crt", directory / "tls.key")
    sock = listening_socket("127.0.0.1", 0)
    server = ConfigServer(sock, tls=lambda: certificates.current.context, identify=identify, fleet=fleet)
    async with server:
        running = asyncio.ensure_future(server.run())
        await fleet.rounds.run(sock.getsockname()[1])
        running.cancel()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
