"""The operator, put together: what is opened, what runs beside what, and in which order it ends."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, TypeVar

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool_operator.config_server import ConfigServer
from speechpool_operator.fleet import Fleet
from speechpool_operator.health import SILENT_SECONDS, Health, telemetry
from speechpool_operator.identity import Identities
from speechpool_operator.kopf_thread import KopfThread
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import Access
from speechpool_operator.leader import Leader
from speechpool_operator.ledger import LAG_SECONDS, Ledger
from speechpool_operator.listener import listening_socket, raise_file_limit
from speechpool_operator.objects import SpeechPool
from speechpool_operator.options import Options
from speechpool_operator.overview import overview
from speechpool_operator.planner import Planner, Streams
from speechpool_operator.pods_watch import PodsWatch
from speechpool_operator.signals import Signals
from speechpool_operator.status_writer import StatusWriter
from speechpool_operator.tls import Certificates

__all__ = ["run"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

STOP_SECONDS: Final = 10.0
"""Bound of the end: every stream gets its farewell within two."""

CERTIFICATE_POLL_SECONDS: Final = 1.0
COMPLAIN_EVERY: Final = 30  # looks for a certificate, between two lines in the log


async def run(options: Options, access: Access) -> int:
    """Run the operator until it is asked to stop or a part of it fails; returns the exit code.

    Args:
        options: The settings.
        access: The way to the API server.
    """
    logger.info("operator started", extra={"server": access.server, "namespace": options.namespace or access.namespace})
    logger.info("file limit raised", extra={"files": raise_file_limit()})
    with Signals() as signals:
        async with KubeClient(access) as client:
            operator = Operator(options, access, client, signals)
            try:
                await operator.run()
            except Exception as failed:
                logger.exception("operator failed", exc_info=_first(failed))
                return 1
    logger.info("operator stopped")
    return 0


def _first(failed: Exception) -> BaseException:
    """Of several failures the first; the rest follows from it."""
    first: BaseException = failed
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def _unless(stopping: "asyncio.Task[None]", awaited: Coroutine[None, None, T]) -> T | None:
    """What is awaited, or None where it is asked to stop before."""
    task = asyncio.create_task(awaited)
    try:
        await asyncio.wait({stopping, task}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()


def _leader(options: Options, client: KubeClient, namespace: str) -> Leader | None:
    if not options.lease_name:
        return None
    # a container that is started again in its pod has its Lease at once, as no other pod has its name
    return Leader(client, namespace=namespace, name=options.lease_name, identity=options.pod_name)


class Operator:
    """Every part, each made once.

    Args:
        options: The settings.
        access: The way to the API server.
        client: The API client.
        signals: Tells when to stop.
    """

    def __init__(self, options: Options, access: Access, client: KubeClient, signals: Signals) -> None:
        self._options = options
        self._signals = signals
        where = options.watch_namespace
        self.fleet = Fleet(options.namespace or access.namespace, clock=asyncio.get_running_loop().time)
        self.writer = StatusWriter(client, answered=self._written, may_write=self._leads)
        self.planner = Planner(self.fleet, self.writer)
        self.pods = PodsWatch(client, self.fleet, wake=self.planner.wake, namespace=where)
        self.ledger = Ledger(client, self.fleet, wake=self.planner.wake, namespace=where)
        self.kopf = KopfThread(access, self.ledger, namespace=where)
        self.streams = Streams(self.fleet, wake=self.planner.wake, lookout=self.pods.lookout)
        self.identities = Identities(client)
        self.leader = _leader(options, client, self.fleet.operator_namespace)
        self.server: ConfigServer | None = None

    async def run(self) -> None:
        """Run until asked to stop.

        Raises:
            ExceptionGroup: A part failed.
        """
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            await stack.enter_async_context(self._telemetry())
            parts = [self.ledger.run(), self.pods.run(), self.kopf.run(), self.writer.run()]
            parts += [self.leader.run()] if self.leader else []
            tasks = [group.create_task(each) for each in parts]
            serving = group.create_task(self._serve())
            await self._signals.wait_for_stop()
            self.planner.stop()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await serving
            finally:
                for each in tasks:
                    each.cancel()

    # --- what sidecars connect to ---

    async def _serve(self) -> None:
        """Serve sidecars from when this operator leads until it is asked to stop."""
        stopping = asyncio.create_task(self._signals.wait_for_stop())
        try:
            certificates = await _unless(stopping, self._certificates())
            leads = await _unless(stopping, self._until_leading())
            if certificates is None or not leads:
                return
            self.fleet.begin()
            self.planner.start()
            await self._serve_with(certificates, stopping)
        finally:
            stopping.cancel()

    async def _serve_with(self, certificates: Certificates, stopping: "asyncio.Task[None]") -> None:
        address = self._options.listen
        sock = listening_socket(address.host, address.port)
        with contextlib.closing(sock):
            server = ConfigServer(
                sock,
                tls=lambda: certificates.current.context,
                identify=self.identities.identify,
                fleet=self.streams,
            )
            logger.info(
                "listening", extra={"setting": "listen", "address": str(Address(address.host, sock.getsockname()[1]))}
            )
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in (server.run(), certificates.run())]
                async with server:
                    self.server = server
                    await stopping
                for each in tasks:
                    each.cancel()

    async def _until_leading(self) -> bool:
        if self.leader:
            await self.leader.until_leading()
        return True

    async def _certificates(self) -> Certificates:
        looks = 0
        while True:
            try:
                return Certificates(self._options.tls_cert_file, self._options.tls_key_file)
            except SettingsError as error:
                if looks % COMPLAIN_EVERY == 0:
                    logger.warning("waiting for a certificate", extra={"reason": str(error)})
            looks += 1
            await asyncio.sleep(CERTIFICATE_POLL_SECONDS)

    # --- what is told ---

    @contextlib.asynccontextmanager
    async def _telemetry(self) -> AsyncIterator[None]:
        address = self._options.telemetry_address
        if address is None:
            yield
            return
        health = Health(
            watches={
                "speechpools": (self.ledger.watch, SILENT_SECONDS),
                "speechpools by kopf": (self.kopf, LAG_SECONDS),
                "pods with a sidecar": (self.pods.watches[0], SILENT_SECONDS),
                "pods that ask for one": (self.pods.watches[1], SILENT_SECONDS),
            },
            is_known=lambda: self.fleet.pools_known and self.fleet.pods_known,
            leads=self._leads,
            is_serving=lambda: self.server is not None,
            is_stopping=lambda: self._signals.is_stopping,
        )
        async with telemetry(address, health, sidecars=self._overview) as bound:
            logger.info("listening", extra={"setting": "telemetry_address", "address": bound})
            yield

    def _overview(self) -> dict[str, Any]:
        return overview(self.fleet, leads=self._leads())

    def _leads(self) -> bool:
        return self.leader is None or self.leader.is_leading

    def _written(self, pool: SpeechPool) -> None:
        self.fleet.put_pool(pool)
        self.planner.wake()
