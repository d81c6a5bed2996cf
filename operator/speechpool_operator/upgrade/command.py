"""`speechpool-operator upgrader`."""

import argparse
import asyncio
import contextlib
import logging
import os

import aiohttp

from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import Access, access
from speechpool_operator.logs import configure_logging
from speechpool_operator.option_table import add_arguments, unknown_variables
from speechpool_operator.signals import Signals
from speechpool_operator.upgrade.settings import OPTIONS, UpgraderSettings, read_settings
from speechpool_operator.upgrade.telemetry import telemetry
from speechpool_operator.upgrade.upgrader import Upgrader

__all__ = ["configure", "run"]

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Bring the sidecars of running pods to another image. The kubelet starts only that container anew: the application goes
on, and finds no sidecar for a few seconds. Only sidecars without sessions and calls are chosen, one of an owner at a
time, slowly, and none more after the first that is not warm again in time.

An admission policy must keep this program to that one image in that one container; where it is not in force, this
program changes nothing. The chart makes the policy with it. Each flag may be given as the environment variable that is
named with it; the flag is stronger."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = DESCRIPTION
    add_arguments(parser, OPTIONS)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM; returns the exit code.

    Raises:
        SettingsError: A setting is wrong, or there is no way to the API server.
    """
    settings = read_settings(args=args)
    configure_logging(settings.log_level, settings.log_format)
    for name in unknown_variables(OPTIONS, os.environ):
        logger.warning("variable is no setting", extra={"variable": name})
    return asyncio.run(_run(settings, access(settings.kubeconfig or None)))


async def _run(settings: UpgraderSettings, way: Access) -> int:
    with Signals() as signals:
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(KubeClient(way))
            operator = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
            upgrader = Upgrader(client, operator, settings)
            if settings.telemetry_address:
                bound = await stack.enter_async_context(telemetry(settings.telemetry_address, upgrader))
                logger.info("listening", extra={"setting": "telemetry_address", "address": bound})
            logger.info("upgrader started", extra={"server": way.server, "image": settings.image})
            async with asyncio.TaskGroup() as group:
                working = group.create_task(upgrader.run())
                await signals.wait_for_stop()
                working.cancel()
    logger.info("upgrader stopped")
    return 0
