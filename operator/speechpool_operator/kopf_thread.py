"""kopf in a thread of its own with a loop of its own, watched over and started anew where it ends or falls silent.

kopf cancels whatever it finds on its loop when it ends, and its loop is busy while it lists thousands of objects: the
streams of the sidecars live on another one. Objects are read over there; what comes over is frozen.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import aiohttp
import kopf

from speechpool_operator.handlers import registry
from speechpool_operator.kube_access import Access
from speechpool_operator.ledger import LAG_SECONDS, Ledger
from speechpool_operator.objects import SpeechPool, read_speech_pool

__all__ = ["KopfThread"]

logger = logging.getLogger(__name__)

LOGIN_SECONDS: Final = 600.0
"""After that a token or certificate is read from its file again; the kubelet renews a token 10 minutes early."""

STOP_SECONDS: Final = 5.0
"""Bound of kopf's end: it has nothing to finish."""

FIRST_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 10.0
GOOD_SECONDS: Final = 60.0
"""A run that lasted so long was a good one, and the next pause is short again."""


class KopfThread:
    """Runs kopf, and hands on what it tells.

    Args:
        access: The way to the API server.
        ledger: Who wants to know, on the loop of `run`.
        namespace: Only this one; empty for all.
    """

    def __init__(self, access: Access, ledger: Ledger, *, namespace: str = "") -> None:
        self._access = access
        self._ledger = ledger
        self._namespace = namespace
        self._run: _Run | None = None
        self.restarts = 0
        """How often it had to be started anew."""

    @property
    def is_listed(self) -> bool:
        """Whether it has told of every object once."""
        return self._run is not None and self._ledger.listed_event.is_set() and not self._ledger.lag_seconds

    @property
    def age_seconds(self) -> float:
        """How far it is behind the API server: 0 where it has told of everything."""
        return self._ledger.lag_seconds

    async def run(self) -> NoReturn:
        """Run kopf until cancelled.

        Raises:
            RuntimeError: Its thread does not end.
        """
        await self._ledger.listed_event.wait()  # before, the definition may not be there, and kopf looks only once
        failures = 0
        while True:
            began_at = asyncio.get_running_loop().time()
            await self._run_once()
            is_good = asyncio.get_running_loop().time() - began_at > GOOD_SECONDS
            failures = 0 if is_good else failures + 1
            self.restarts += 1
            bound = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0.5, 1.0) * bound)

    async def _run_once(self) -> None:
        self._ledger.forgive()
        run = self._run = _Run(self._access, self._namespace, self._changed, self._deleted)
        run.start()
        try:
            while not run.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAG_SECONDS / 10):
                        await run.ended.wait()
                if self._ledger.lag_seconds > LAG_SECONDS:
                    logger.error("kopf fell silent", extra={"lag_seconds": round(self._ledger.lag_seconds, 1)})
                    return
            logger.error("kopf ended", extra={"reason": run.reason})
        finally:
            self._run = None
            await run.stop()

    def _changed(self, run: "_Run", pool: SpeechPool) -> None:
        if run is self._run:
            self._ledger.kopf_has(pool)

    def _deleted(self, run: "_Run", pool: SpeechPool) -> None:
        if run is self._run:
            self._ledger.kopf_lost(pool)


class _Run:
    """One run of kopf."""

    def __init__(
        self,
        access: Access,
        namespace: str,
        changed: Callable[["_Run", SpeechPool], None],
        deleted: Callable[["_Run", SpeechPool], None],
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._changed = changed
        self._deleted = deleted
        self._home = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._main, name="kopf", daemon=True)
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None
        self._is_stopping = False
        self.ended = asyncio.Event()
        self.reason = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """Have it end, and wait until it has.

        Raises:
            RuntimeError: It does not.
        """
        with self._lock:
            self._is_stopping = True
            if self._cancel:
                self._cancel()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.ended.wait()
        except TimeoutError:
            raise RuntimeError(f"kopf's thread did not end within {STOP_SECONDS:g} seconds") from None

    # --- in kopf's thread ---

    def _main(self) -> None:
        try:
            asyncio.run(self._operate())
        except asyncio.CancelledError:
            pass  # the end of the thread's own loop, which `stop` asked for: nobody is above it to hear of it
        except BaseException as error:  # noqa: BLE001 -- whatever ended it is told, and it is started anew
            self.reason = f"{type(error).__name__}: {error}"
        self._call_home(self.ended.set)

    async def _operate(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task
        with self._lock:
            if self._is_stopping:
                return
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            await kopf.operator(
                registry=registry(self._hand_on(self._changed), self._hand_on(self._deleted), self._log_in),
                settings=_settings(),
                standalone=True,
                # unused without peers; kopf's own asks for a name of the user, who may have none, and of the host
                identity="speechpool-operator",  # type: ignore[arg-type] # the type is private to kopf, and a str
                **({"namespaces": [self._namespace]} if self._namespace else {"clusterwide": True}),
            )
        finally:
            with self._lock:
                self._cancel = None

    def _hand_on(self, to: Callable[["_Run", SpeechPool], None]) -> Callable[[Mapping[str, Any]], None]:
        def hand_on(manifest: Mapping[str, Any]) -> None:
            pool = read_speech_pool(manifest)
            if pool:
                self._call_home(to, self, pool)

        return hand_on

    def _call_home(self, function: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ended without waiting
            self._home.call_soon_threadsafe(function, *args)

    async def _log_in(self) -> kopf.AiohttpSession:
        access = self._access
        headers = {"user-agent": "speechpool-operator"}
        if access.token:
            headers["authorization"] = f"Bearer {access.token()}"
        is_from_file = access.token is not None or bool(access.tls_files)
        lasts = dt.timedelta(seconds=LOGIN_SECONDS * random.uniform(0.8, 1.0))
        return kopf.AiohttpSession(
            server=access.server,
            expiration=dt.datetime.now(dt.UTC) + lasts if is_from_file else None,
            aiohttp_session=aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=access.tls() if access.tls else True), headers=headers
            ),
        )


def _settings() -> kopf.OperatorSettings:
    made = kopf.OperatorSettings()
    made.posting.enabled = False  # events are told by their own words, where something happened
    made.scanning.disabled = True  # no right to list definitions or namespaces is needed; the ledger sees them come
    made.process.ultimate_exiting_timeout = None  # it would kill the whole process
    made.watching.server_timeout = 300
    made.watching.connect_timeout = 5
    made.watching.chunk_size = 500
    made.networking.request_timeout = 15
    made.networking.error_backoffs = (0.2, 0.5, 1, 2, 5)
    return made


class _NotOfSignals(logging.Filter):
    """Leaves out that kopf takes no signals: the program does."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("OS signals are ignored")


logging.getLogger("kopf._core.reactor.running").addFilter(_NotOfSignals())
