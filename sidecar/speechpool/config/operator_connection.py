"""One connection to the operator: dialled, spoken over until it ends, closed."""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import aiohttp

from speechpool.config.operator_files import Credentials, read_credentials
from speechpool.config.operator_source import OperatorSource, Usage
from speechpool.config.operator_threads import HostNames, SideThreads
from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool.settings.wire import (
    DEFAULT_HEARTBEAT_SECONDS,
    MAX_OPERATOR_MESSAGE_BYTES,
    MISSED_HEARTBEATS,
    PATH,
    SUBPROTOCOL,
    Bye,
    FromOperator,
    Heartbeat,
    Hello,
    NewSettings,
    NoSettings,
    PoolState,
    State,
    WireError,
    bounded,
    encode,
    from_operator,
)

__all__ = ["Connection", "Limits", "Lost", "Place", "dialled", "is_news"]

Socket = aiohttp.ClientWebSocketResponse


class Lost(Exception):
    """There is no connection, or no longer.

    Args:
        reason: Why, for people; holds no token.
        retry_after_seconds: What the operator asked for.
        is_bye: Whether it said so in good order.
    """

    def __init__(self, reason: str, *, retry_after_seconds: float = 0.0, is_bye: bool = False) -> None:
        super().__init__(bounded(reason))
        self.retry_after_seconds = retry_after_seconds
        self.is_bye = is_bye


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the operator is, and what proves it and us.

    Args:
        address: Its host and port; its certificate must be for the host.
        ca_file: Who may vouch for it, as `read_credentials()` takes it.
        token_file: The bearer token's.
    """

    address: Address
    ca_file: str
    token_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long things may take; guesses, far above what a healthy network needs.

    Args:
        connect_seconds: From reading the files to the open WebSocket.
        send_seconds: For one message to be taken.
        close_seconds: For closing in good order.
        look_seconds: Between two looks at the pools.
        heartbeat_seconds: Between two heartbeats, until the operator says otherwise.
    """

    connect_seconds: float = 10.0
    send_seconds: float = 10.0
    close_seconds: float = 1.0
    look_seconds: float = 1.0
    heartbeat_seconds: float = DEFAULT_HEARTBEAT_SECONDS


def is_news(told: State | None, now: State) -> bool:
    """Whether the operator must hear of it at once; of how many clients are warm only whether they are enough.

    Sessions and calls come and go many times a second: they are told with what else is told.
    """
    if told is None or (told.state, told.offered, told.applied, told.error) != (
        now.state,
        now.offered,
        now.applied,
        now.error,
    ):
        return True
    before, after = (_gist(state.pools) for state in (told, now))
    return before != after


def _gist(pools: Mapping[str, PoolState]) -> dict[str, tuple[int, bool, bool]]:
    return {name: (one.wanted, one.warm >= one.wanted, one.ready) for name, one in pools.items()}


@contextlib.asynccontextmanager
async def dialled(place: Place, threads: SideThreads, limits: Limits) -> AsyncIterator[Socket]:
    """An open WebSocket to the operator; files are read and the host's name is asked for anew.

    Raises:
        Lost: It cannot be opened.
    """
    credentials = await _credentials(place, threads, limits)
    connector = aiohttp.TCPConnector(
        ssl=credentials.trust, resolver=HostNames(threads), use_dns_cache=False, force_close=True, limit=1
    )
    redirects = aiohttp.TraceConfig()  # there is no argument that forbids them
    redirects.on_request_redirect.append(_refuse_redirect)
    async with aiohttp.ClientSession(connector=connector, trace_configs=[redirects]) as session:
        socket = await _opened(session, place.address, credentials.token, limits)
        close_seconds = limits.close_seconds
        try:
            yield socket
        except asyncio.CancelledError:
            close_seconds = 0.0  # the sidecar ends, and waits for nobody
            raise
        finally:
            await _closed(socket, close_seconds)


async def _credentials(place: Place, threads: SideThreads, limits: Limits) -> Credentials:
    try:
        async with asyncio.timeout(limits.connect_seconds):
            return await threads.call(partial(read_credentials, place.ca_file, place.token_file))
    except TimeoutError:
        raise Lost(f"its files could not be read within {limits.connect_seconds:g} s") from None
    except (SettingsError, OSError) as error:
        raise Lost(str(error)) from None


async def _refuse_redirect(*_: object) -> None:
    raise Lost("it sent us elsewhere (a redirect), where nobody vouches for it")


async def _opened(session: aiohttp.ClientSession, address: Address, token: str, limits: Limits) -> Socket:
    try:
        async with asyncio.timeout(limits.connect_seconds):
            socket = await session.ws_connect(
                f"https://{address}{PATH}",
                protocols=(SUBPROTOCOL,),
                headers={"Authorization": f"Bearer {token}"},
                max_msg_size=MAX_OPERATOR_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=limits.close_seconds),
            )
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise _not_opened(error, limits) from None
    if socket.protocol != SUBPROTOCOL:
        await _closed(socket, limits.close_seconds)
        raise Lost(f"it does not speak {SUBPROTOCOL}: it is no operator, or too new or too old")
    return socket


def _not_opened(error: Exception, limits: Limits) -> Lost:
    match error:
        case aiohttp.WSServerHandshakeError():
            retry_after = error.headers.get("Retry-After", "") if error.headers else ""
            seconds = float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else 0.0
            meaning = {401: ": it does not know the token", 403: ": this pod may not", 404: ": it is no operator"}
            return Lost(f"it answered {error.status}{meaning.get(error.status, '')}", retry_after_seconds=seconds)
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or "its certificate cannot be verified"
            return Lost(f"its certificate is not trusted: {reason}")
        case TimeoutError():
            return Lost(f"it did not answer within {limits.connect_seconds:g} s")
        case aiohttp.ClientConnectorDNSError():
            return Lost("its host name is not known")
        case OSError() if error.errno and error.errno > 0:
            return Lost(os.strerror(error.errno))
    return Lost(f"no connection: {type(error).__name__}")


async def _closed(socket: Socket, limit_seconds: float) -> None:
    connection = socket._response.connection  # noqa: SLF001 # there is no other way to its transport
    transport = connection.transport if connection else None
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(limit_seconds):
            await socket.close()
    if transport:
        transport.abort()  # else TLS waits up to 30 s for the peer's own good bye


class Connection:
    """The conversation over one open WebSocket.

    Args:
        socket: Open; the caller closes it.
        source: Takes the settings and knows what became of them.
        usage: Tells what the sidecar does.
        limits: How long things may take.
        on_contact: Called with the time of each message that came, in seconds since 1970.
    """

    def __init__(
        self,
        socket: Socket,
        source: OperatorSource,
        usage: Callable[[], Usage],
        limits: Limits,
        on_contact: Callable[[float], None],
    ) -> None:
        self._socket = socket
        self._source = source
        self._usage = usage
        self._limits = limits
        self._on_contact = on_contact
        self._interval_seconds = limits.heartbeat_seconds
        self._heard: str | None = None
        self._differences = 0
        self._is_asked = False
        self._wake = asyncio.Event()

    async def run(self, version: str) -> None:
        """Speak until it ends.

        Args:
            version: Of this program.

        Raises:
            Lost: It ended; always.
        """
        self._source.on_change(self._wake.set)
        await self._send(Hello(version=version, applied=self._source.applied))
        telling = asyncio.ensure_future(self._tell())
        listening = asyncio.ensure_future(self._listen())
        try:
            await asyncio.wait({telling, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [task for task in (listening, telling) if task.done()]
            for task in (telling, listening):
                task.cancel()
            await asyncio.wait({telling, listening})
        for task in ended:
            task.result()

    async def _listen(self) -> None:
        while True:
            message = self._read(await self._frame())
            self._on_contact(time.time())
            if message is not None:
                self._take(message)

    async def _frame(self) -> aiohttp.WSMessage:
        patience_seconds = MISSED_HEARTBEATS * self._interval_seconds
        try:
            async with asyncio.timeout(patience_seconds):
                return await self._socket.receive()
        except TimeoutError:
            raise Lost(f"it was silent for {patience_seconds:g} s") from None

    def _read(self, frame: aiohttp.WSMessage) -> FromOperator | None:
        match frame.type:
            case aiohttp.WSMsgType.TEXT:
                try:
                    return from_operator(frame.data)
                except WireError as error:
                    raise Lost(f"it sent what is no message: {error}") from None
            case aiohttp.WSMsgType.BINARY:
                raise Lost("it sent what is no message: messages are text")
            case aiohttp.WSMsgType.ERROR:
                reason = frame.data if isinstance(frame.data, aiohttp.WebSocketError) else "the connection broke"
                raise Lost(f"it sent what is no message: {reason}")
        raise Lost(f"it closed the connection ({self._socket.close_code})")

    def _take(self, message: FromOperator) -> None:
        match message:
            case NewSettings():
                self._heard, self._differences = message.revision.hash, 0
                self._source.offer(message)
            case NoSettings():
                self._heard, self._differences = None, 0
                self._source.offer(message)
            case Heartbeat():
                self._beat(message)
            case Bye():
                reason = f"it said: {message.reason}" if message.reason else "it said good bye"
                raise Lost(reason, retry_after_seconds=message.retry_after_seconds, is_bye=True)

    def _beat(self, heartbeat: Heartbeat) -> None:
        self._interval_seconds = heartbeat.interval_seconds
        self._differences = 0 if heartbeat.hash == self._heard else self._differences + 1
        if self._differences > 1:  # one may have overtaken settings that are on their way
            raise Lost("it believes to have sent other settings")
        self._is_asked = True
        self._wake.set()

    async def _tell(self) -> None:
        told: State | None = None
        while True:
            self._wake.clear()
            now = self._source.state(self._usage())
            if self._is_asked or is_news(told, now):
                self._is_asked, told = False, now
                await self._send(now)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.look_seconds):
                    await self._wake.wait()

    async def _send(self, message: Hello | State) -> None:
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await self._socket.send_str(encode(message))
        except TimeoutError:
            raise Lost(f"it took no message for {self._limits.send_seconds:g} s") from None
        except (aiohttp.ClientError, OSError):
            raise Lost("the connection broke") from None
