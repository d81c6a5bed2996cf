"""The injector, put together: what is opened, what runs beside what, and in which order it ends."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from aiohttp import web

from speechpool.settings import Address
from speechpool_operator.certificates import Held
from speechpool_operator.certificates_keeper import CaBundle, Keeper
from speechpool_operator.certificates_serving import MountedFiles, Serving
from speechpool_operator.http_site import answering
from speechpool_operator.injection.config_file import ConfigFile
from speechpool_operator.injection.metrics import Metrics
from speechpool_operator.injection.options import Options
from speechpool_operator.injection.server import Webhook
from speechpool_operator.injection.telemetry import telemetry
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import Access
from speechpool_operator.signals import Signals

__all__ = ["run", "run_certificates"]

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 5.0
"""Bound for answers that are under way at the end."""

KEEPALIVE_SECONDS: Final = 120.0
"""The API server closes what it has not used for 90 s (Go's http.Transport): it, not we, so that no question is
lost."""


async def run(options: Options, reach: Callable[[], Access]) -> int:
    """Answer the API server until asked to stop; returns the exit code.

    Args:
        options: The settings.
        reach: The way to the API server, asked for only where certificates are made.

    Raises:
        SettingsError: The file with the sidecars' settings cannot be used, or there is no way to the API server.
        OSError: An address cannot be listened at.
        ExceptionGroup: A part failed.
    """
    config = ConfigFile(options.config)
    trust = _Trust()
    async with contextlib.AsyncExitStack() as stack:
        signals = stack.enter_context(Signals())
        source = await stack.enter_async_context(_certificates(options, reach, trust))
        failures = {"certificates": lambda: source.failure, "settings": lambda: config.failure}
        metrics = _metrics(trust.serving, failures)
        webhook = Webhook(config=lambda: config.current, ca=lambda: trust.authority, metrics=metrics)
        unready = lambda: _unready(signals, trust, source.failure)  # noqa: E731 -- one expression, used once
        await stack.enter_async_context(_telemetry(options, metrics, unready, failures))
        assert options.listen, "read_options() wants one"
        await stack.enter_async_context(_listening("listen", options.listen, webhook.application, trust.serving))
        stop = _stopped(signals, options.shutdown_delay_seconds)
        await _until(stop, source.run(), config.run())
    logger.info("injector stopped")
    return 0


async def run_certificates(options: Options, access: Access) -> int:
    """Keep the certificates until asked to stop, without a webhook; returns the exit code.

    Args:
        options: The settings.
        access: The way to the API server.

    Raises:
        OSError: An address cannot be listened at.
        ExceptionGroup: A part failed.
    """
    serving = Serving()
    async with contextlib.AsyncExitStack() as stack:
        signals = stack.enter_context(Signals())
        client = await stack.enter_async_context(KubeClient(access))
        keeper = _keeper(options, access, client, lambda held: _follow(serving, held, "operator"))
        failures = {"certificates": lambda: keeper.failure}
        metrics = _metrics(serving, failures)
        unready = lambda: [] if keeper.held else [keeper.failure]  # noqa: E731 -- one expression, used once
        await stack.enter_async_context(_telemetry(options, metrics, unready, failures))
        await _until(signals.wait_for_stop(), keeper.run())
    logger.info("certificates no longer looked after")
    return 0


# --- certificates ----------------------------------------------------------------------------------------------------


class _Trust:
    """What the webhook presents, and whom sidecars shall trust."""

    def __init__(self) -> None:
        self.serving = Serving()
        self.authority = ""

    def made(self, held: Held) -> None:
        _follow(self.serving, held, "injector")
        self.authority = held.trusted_pem

    def mounted(self, certificate: str, key: str, authority: str) -> None:
        self.serving.use(certificate, key)
        self.authority = authority


def _follow(serving: Serving, held: Held, who: str) -> None:
    leaf = held.leaves[who]
    serving.use(leaf.certificate_pem(), leaf.key_pem())


@contextlib.asynccontextmanager
async def _certificates(
    options: Options, reach: Callable[[], Access], trust: _Trust
) -> AsyncIterator[Keeper | MountedFiles]:
    if options.certificates == "files":
        yield MountedFiles(options.tls_cert_file, options.tls_key_file, options.ca_file, use=trust.mounted)
        return
    access = reach()
    async with KubeClient(access) as client:
        yield _keeper(options, access, client, trust.made)


def _keeper(options: Options, access: Access, client: KubeClient, use: Callable[[Held], None]) -> Keeper:
    namespace = options.namespace or access.namespace
    return Keeper(
        client,
        namespace=namespace,
        name=options.secret_name,
        terms=options.terms(namespace),
        bundle=CaBundle(client, options.webhook_name) if options.webhook_name else None,
        use=use,
    )


# --- what is told ----------------------------------------------------------------------------------------------------

_Failures = dict[str, Callable[[], str]]


def _metrics(serving: Serving, failures: _Failures) -> Metrics:
    return Metrics(
        not_after=lambda: serving.not_after,
        failures=lambda: {part: bool(failure()) for part, failure in failures.items()},
    )


def _unready(signals: Signals, trust: _Trust, failure: str) -> list[str]:
    reasons = {"stopping": signals.is_stopping, f"no certificate yet: {failure}": trust.serving.not_after is None}
    return [reason for reason, holds in reasons.items() if holds]


@contextlib.asynccontextmanager
async def _telemetry(
    options: Options, metrics: Metrics, unready: Callable[[], list[str]], failures: _Failures
) -> AsyncIterator[None]:
    if options.telemetry_address is None:
        yield
        return
    wrong = lambda: [f"{part}: {failure()}" for part, failure in failures.items() if failure()]  # noqa: E731 -- likewise
    application = telemetry(metrics, unready=unready, wrong=wrong)
    async with _listening("telemetry_address", options.telemetry_address, application):
        yield


# --- life ------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _listening(
    setting: str, address: Address, application: web.Application, serving: Serving | None = None
) -> AsyncIterator[None]:
    async with answering(
        application,
        address,
        tls=serving.context if serving else None,
        shutdown_seconds=STOP_SECONDS,
        keepalive_seconds=KEEPALIVE_SECONDS,
    ) as bound:
        logger.info("listening", extra={"setting": setting, "address": bound})
        yield


async def _stopped(signals: Signals, delay_seconds: float) -> None:
    await signals.wait_for_stop()
    # kube-proxy goes on sending for a moment what the API server asks of this pod
    await asyncio.sleep(delay_seconds)


async def _until(stop: Coroutine[Any, Any, None], *parts: Coroutine[Any, Any, Any]) -> None:
    """Run the parts until asked to stop; one that fails ends the others and this."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in parts]
        await group.create_task(stop)
        for task in tasks:
            task.cancel()
