"""The life of the sidecar: what is opened in which order, who owns the tasks, and how it ends.

Opened: signals, the socket, the engine and the pools (which warm up behind), the listeners. Ended in the reverse
order: not ready, no new connections, what is under way finishes or fails with an error, pools closed, the socket
removed.
"""

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import AsyncIterator
from functools import partial

from speechpool.cli.following import make_stream
from speechpool.cli.listeners import Listeners
from speechpool.cli.signals import Signals
from speechpool.cli.unix_socket import claim_socket
from speechpool.config import ConfigStore, FileWatcher
from speechpool.config.operator_stream import OperatorStream
from speechpool.config.store import Outcome, Update
from speechpool.errors import SettingsError
from speechpool.service.service import SpeechService
from speechpool.settings import Settings, Source
from speechpool.settings.logs import set_level
from speechpool.speech.loading import load_engine, unread_options

__all__ = ["run_sidecar"]

logger = logging.getLogger(__name__)

LAST_WORDS_SECONDS = 2.0
"""What callers get to take the error that ends them: an engine may need 1 s to stop, then the reply has to go out."""

YOUNG_OBJECTS = 10_000
"""New objects between two looks for garbage cycles. One request has more than Python's 700 at a time, and each of them
had a look in its first byte's way (0.05 ms of it, with twenty callers)."""


async def run_sidecar(store: ConfigStore) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        store: The settings in force; kept up to date while the sidecar runs.

    Returns:
        The exit code: 0 after a signal, 1 after a failure of a part, which was logged.

    Raises:
        SettingsError: A setting cannot be used here; nothing is left behind.
        SocketInUse: Another process listens on the socket.
    """
    started_at = time.monotonic()
    settings = store.current
    for warning in unread_options(settings.engines, settings.engine):
        logger.warning("setting has no effect", extra={"detail": warning})
    at_the_end = contextlib.ExitStack()
    with Signals(partial(_end_now, at_the_end)) as signals, at_the_end:
        claim = claim_socket(settings.socket, mode=settings.socket_mode, group=settings.socket_group)
        at_the_end.callback(claim.release)
        service = SpeechService(load_engine(settings.engine, settings.engine_options()), settings)
        operator = make_stream(store, service)
        _bind(store, service, operator)
        async with _opened(service, Listeners(service, store, claim.listener), store, operator):
            return await _serve(store, service, operator, signals, started_at)


def _end_now(at_the_end: contextlib.ExitStack, signal_number: int) -> None:
    at_the_end.close()
    os._exit(128 + signal_number)  # workers end by themselves: the kernel tells them that their parent died


@contextlib.asynccontextmanager
async def _opened(
    service: SpeechService, listeners: Listeners, store: ConfigStore, operator: OperatorStream | None
) -> AsyncIterator[None]:
    """Everything that answers, for as long as the context is open."""
    limit_seconds = 0.0  # nobody waits where the start or a part failed
    try:
        await service.open()
        if operator:
            await operator.restore()  # before the pools are filled as the weaker sources say
        await listeners.open()
        yield
        limit_seconds = store.current.shutdown_timeout_seconds
    finally:
        work_seconds = limit_seconds - min(LAST_WORDS_SECONDS, limit_seconds / 4)
        await asyncio.gather(
            service.end_work(work_seconds),
            listeners.close_api(work_seconds + LAST_WORDS_SECONDS),
        )
        await service.close()
        await listeners.close_telemetry()
        logger.info("sidecar stopped")


def _bind(store: ConfigStore, service: SpeechService, operator: OperatorStream | None) -> None:
    """Let the service have each change of the settings, and tell of it."""

    async def apply(old: Settings, new: Settings) -> None:
        await service.apply(old, new)
        set_level(new.log_level)

    def tell(update: Update) -> None:
        generation = update.generation
        if update.source is Source.OPERATOR:
            generation = store.states[Source.OPERATOR].generation or 0  # its object's
        service.metrics.set_config_generation(str(update.source), generation)
        if update.outcome is Outcome.REJECTED:
            service.metrics.config_error(str(update.source))
        if operator:
            operator.on_update(update)

    store.bind(apply, tell)


async def _serve(
    store: ConfigStore,
    service: SpeechService,
    operator: OperatorStream | None,
    signals: Signals,
    started_at: float,
) -> int:
    """Own the tasks until a signal comes; whichever of them fails ends all."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_tell_when_ready(service, started_at), name="tell when ready")]
            if path := store.current.config_file:
                watcher = FileWatcher(store, path)
                signals.on_hangup(watcher.reload)
                running.append(tasks.create_task(watcher.run(), name="watch the settings file"))
            if operator:
                running.append(tasks.create_task(operator.run(), name="follow the operator"))
            await signals.wait_for_stop()
            for task in running:
                task.cancel()
    except ExceptionGroup as failed:
        if wrong := failed.subgroup(SettingsError):
            raise wrong.exceptions[0] from None
        logger.exception("sidecar failed")
        return 1
    return 0


async def _tell_when_ready(service: SpeechService, started_at: float) -> None:
    if not await service.wait_started():
        reasons = service.readiness().as_dict()
        logger.warning("sidecar not ready yet", extra={"seconds": time.monotonic() - started_at, **reasons})
        await service.wait_ready()
    logger.info("sidecar ready", extra={"seconds": round(time.monotonic() - started_at, 3)})
    # what is there by now stays for ever: the collector need not look at it again
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
