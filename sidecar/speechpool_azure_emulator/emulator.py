"""The emulator in process: an HTTP server with the service's paths, its network, its state."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from speechpool_azure_emulator.connection import reset
from speechpool_azure_emulator.control import Control
from speechpool_azure_emulator.credentials import Credentials
from speechpool_azure_emulator.engines import Engines
from speechpool_azure_emulator.faults import FaultList
from speechpool_azure_emulator.ledger import ConnectionRecord, Counts, Ledger, RecognitionRecord, UtteranceRecord
from speechpool_azure_emulator.listening import ScriptedListener
from speechpool_azure_emulator.options import EmulatorOptions
from speechpool_azure_emulator.port import EmulatorFailed, Port
from speechpool_azure_emulator.service import Service
from speechpool_azure_emulator.state import State

__all__ = ["AzureEmulator", "EmulatorFailed"]

_FAREWELL_SECONDS = 2.0  # for the close frames at the end; guess: a client on the same machine answers in milliseconds
_GOING_AWAY = 1001


class AzureEmulator:
    """Azure Speech on a port of this machine; an async context manager that lives on one event loop.

    Faults, options, credentials and transcripts may be changed from any thread while it runs.

    Args:
        host: Address to listen at.
        port: Port to listen at; 0 for a free one.
        options: How it behaves; or give single fields of it as keyword arguments.
        keys: The valid subscription keys by names of your choice; with `tokens` None too, everybody is let in.
        tokens: The valid tokens, likewise.
        transcripts: What is recognised, one text for each stretch of sound.
        changes: Fields of `EmulatorOptions`.

    Raises:
        SettingsError: An option is wrong.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        options: EmulatorOptions | None = None,
        keys: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        transcripts: Iterable[str] = (),
        **changes: Any,  # noqa: ANN401 - fields of EmulatorOptions, which checks them
    ) -> None:
        given = EmulatorOptions.parse({**(options.as_json() if options else {}), **changes})
        self._port = Port(host, port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._script = ScriptedListener(transcripts)
        self._engines = Engines(given, self._script)
        self._state = State(
            options=given,
            credentials=Credentials(keys, tokens),
            ledger=Ledger(given.max_records),
            faults=FaultList(self._stir),
            speaker=self._engines.speaker,
            listener=self._engines.listener,
        )
        self._service = Service(self._state)
        self._control = Control(self)
        self._runner: web.AppRunner | None = None

    # --- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> "AzureEmulator":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Load what it needs and listen.

        Raises:
            EmulatorFailed: The port is in use, or the address is none of this machine's.
            EngineUnavailable: The local engine is asked for and cannot be used, with what to install.
        """
        self._loop = asyncio.get_running_loop()
        app = web.Application()
        self._control.add_routes(app.router)
        app.router.add_route("*", "/{path:.*}", self._service.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_FAREWELL_SECONDS)
        await self._runner.setup()
        try:
            await self._engines.open()
            self._state.speaker, self._state.listener = self._engines.speaker, self._engines.listener
            await self._port.open(self._runner)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections with 1001, stop listening, release everything; safe in every state."""
        await self._control.close()
        await self._port.close()
        await self._service.close_all(_GOING_AWAY, "The emulator ends.", _FAREWELL_SECONDS)
        if self._runner:
            await self._runner.cleanup()
        await self._engines.close()

    # --- where it is -----------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port; known once it is open."""
        return self._port.number

    @property
    def url(self) -> str:
        """For `SpeechConfig(host=...)` or `endpoint=`: "ws://127.0.0.1:PORT"."""
        return f"ws://{self._port.host}:{self._port.number}"

    @property
    def http_url(self) -> str:
        """The same place for HTTP."""
        return f"http://{self._port.host}:{self._port.number}"

    # --- how it behaves --------------------------------------------------------------------------------------------

    @property
    def options(self) -> EmulatorOptions:
        """The options in force."""
        return self._state.options

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - likewise
        """Change options; those of utterances and recognitions under way stay as they were, but for the pace.

        Raises:
            SettingsError: An option is unknown, wrong, or fixed while it runs.
        """
        self._state.options = self._state.options.changed(changes)
        self._stir()

    @property
    def faults(self) -> FaultList:
        """The faults in force: `set`, `add`, `clear`."""
        return self._state.faults

    @property
    def credentials(self) -> Credentials:
        """What is valid now: `accept`."""
        return self._state.credentials

    @property
    def transcripts(self) -> "ScriptedListener":
        """What is recognised next: `say`."""
        return self._script

    # --- what it saw -----------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """The counts as they are now."""
        return self._state.ledger.counts()

    @property
    def connections(self) -> list[ConnectionRecord]:
        """All WebSockets, oldest first."""
        return list(self._state.ledger.connections)

    @property
    def utterances(self) -> list[UtteranceRecord]:
        """All syntheses, oldest first."""
        return list(self._state.ledger.utterances)

    @property
    def recognitions(self) -> list[RecognitionRecord]:
        """All turns of recognition, oldest first."""
        return list(self._state.ledger.recognitions)

    def reset_records(self) -> None:
        """Forget records and counts, but for what is open or under way."""
        self._state.ledger.reset()

    @property
    def ledger(self) -> Ledger:
        """For whoever waits for a change: `watch`."""
        return self._state.ledger

    async def wait_for(self, condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Wait until a condition on what it saw holds; looks after each change, on the emulator's loop.

        Raises:
            EmulatorFailed: It did not within `seconds`.
        """
        changed = asyncio.Event()
        unwatch = self._state.ledger.watch(changed.set)
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            raise EmulatorFailed(f"the condition did not hold within {seconds:g} s; {self.counts}") from None
        finally:
            unwatch()

    # --- its network -----------------------------------------------------------------------------------------------

    async def lose_network(self, *, silently: bool = False) -> None:
        """Stop listening, and drop every connection.

        Args:
            silently: Leave connections open without ever answering on them, as a network that swallows packets.
        """
        await self._port.stop()
        if silently:
            self._service.freeze_all()
        elif self._runner and self._runner.server:
            for handler in self._runner.server.connections:
                reset(handler.transport)
            self._service.abort_all()

    async def restore_network(self) -> None:
        """Listen again, at the same port.

        Raises:
            EmulatorFailed: Somebody else took the port.
        """
        if self._runner and not self._port.is_open:
            await self._port.open(self._runner)

    async def restart(self) -> None:
        """Lose the network and restore it."""
        await self.lose_network()
        await self.restore_network()

    def _stir(self) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._service.stir_all)
