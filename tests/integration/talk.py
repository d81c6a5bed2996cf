"""The client's side of the WebSockets, for tests of any sidecar."""

import asyncio
import contextlib
import json
from typing import Any

from tests.integration.sidecar import PATIENCE_SECONDS
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

__all__ = ["LAST", "Talk"]

LAST = {"completed", "canceled", "error"}
"""The last event of an utterance is one of these."""


class Talk:
    """The client's side of one of the two WebSockets."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def receive(self) -> dict[str, Any] | bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await self.socket.recv()
        return message if isinstance(message, bytes) else json.loads(message)

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of a kind; what comes before it is dropped."""
        while True:
            message = await self.receive()
            if isinstance(message, dict) and message["type"] == kind:
                return message

    async def utterance(self) -> tuple[list[dict[str, Any]], bytes]:
        """The events and the audio of one utterance to its end."""
        events: list[dict[str, Any]] = []
        audio = b""
        while not events or events[-1]["type"] not in LAST:
            message = await self.receive()
            if isinstance(message, bytes):
                audio += message
            else:
                events.append(message)
        return events, audio

    async def close_code(self) -> int | None:
        """Wait until the server closes."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed:
            return self.socket.close_code

    async def rest(self) -> list[dict[str, Any]]:
        """Every event until the server closes."""
        events = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                events.append(await self.receive())
        return [event for event in events if isinstance(event, dict)]
