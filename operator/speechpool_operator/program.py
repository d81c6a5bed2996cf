"""The operator, put together: what is opened, what runs beside what, and in which order it ends."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib.metadata import version
from typing import Final, NoReturn

from speechpool_operator.ca_publisher import CaPublisher
from speechpool_operator.config_server import ConfigServer
from speechpool_operator.events import Recorder
from speechpool_operator.fleet import Fleet
from speechpool_operator.health import SILENT_SECONDS, Health, telemetry
from speechpool_operator.identity import Identities
from speechpool_operator.kopf_thread import KopfThread
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import Access
from speechpool_operator.leader import Leader
from speechpool_operator.ledger import LAG_SECONDS, Ledger
from speechpool_operator.listener import raise_file_limit
from speechpool_operator.metrics import Metrics, Parts
from speechpool_operator.objects import Pod, SpeechPool
from speechpool_operator.options import Options
from speechpool_operator.overview import overview
from speechpool_operator.planner import Planner, Streams
from speechpool_operator.pods_watch import PodsWatch
from speechpool_operator.reconcile import Plan
from speechpool_operator.serving import Serving
from speechpool_operator.signals import Signals
from speechpool_operator.status_writer import StatusWriter
from speechpool_operator.telling import Teller, injection

__all__ = ["run"]

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
"""Bound of the end: every stream gets its farewell within two."""

NAMESPACES_SECONDS: Final = 1.0
"""Between two looks at which namespaces have sidecars; a pod was admitted with the authority of its time anyway."""


async def run(options: Options, access: Access) -> int:
    """Run the operator until it is asked to stop or a part of it fails; returns the exit code.

    Args:
        options: The settings.
        access: The way to the API server.
    """
    files = raise_file_limit()
    with Signals() as signals:
        async with KubeClient(access) as client:
            operator = Operator(options, access, client, signals)
            where = {"server": access.server, "namespace": operator.fleet.operator_namespace}
            logger.info("operator started", extra={**where, "version": version("speechpool"), "open_files": files})
            try:
                await operator.run()
            except Exception as failed:  # whichever part it was, the program ends with its reason
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
        self.metrics = Metrics(version("speechpool"))
        self.recorder = Recorder(client, instance=options.pod_name)
        self.teller = Teller()
        self.leader = _leader(options, client, self.fleet.operator_namespace)
        self.writer = StatusWriter(client, answered=self._written, may_write=self._leads)
        self.planner = Planner(self.fleet, self.writer, told=self._planned, planning=self.metrics.planning)
        wake = self.planner.wake
        self.pods = PodsWatch(client, self.fleet, wake=wake, namespace=where, appeared=self._appeared)
        self.ledger = Ledger(client, self.fleet, wake=wake, namespace=where)
        self.kopf = KopfThread(access, self.ledger, namespace=where)
        self.identify = self.metrics.timed(Identities(client).identify)
        self.streams = Streams(self.fleet, wake=wake, lookout=self.pods.lookout)
        self.serving = Serving(
            options.listen, options.tls_cert_file, options.tls_key_file, leader=self.leader, make=self._server
        )
        places = (self.fleet.operator_namespace, where) if where else ()
        self.publisher = CaPublisher(client, ca=self._authority, name=options.ca_configmap_name, places=places)
        self.metrics.collect(self._measured())

    async def run(self) -> None:
        """Run until asked to stop.

        Raises:
            ExceptionGroup: A part failed.
        """
        async with self._telemetry(), asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in self._tasks()]
            serving = group.create_task(self.serving.run(self._signals.wait_for_stop, self._begin))
            await self._signals.wait_for_stop()
            self.planner.stop()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await serving
            finally:
                for each in tasks:
                    each.cancel()

    def _tasks(self) -> list[Coroutine[None, None, NoReturn]]:
        """What runs from the start to the end."""
        made = [each.run() for each in (self.ledger, self.pods, self.kopf, self.writer, self.recorder)]
        if self.leader:
            made.append(self.leader.run())
        if self._options.ca_configmap_name:
            made += [self.publisher.run(), self._look_at_namespaces()]
        return made

    def _begin(self) -> None:
        self.fleet.begin()
        self.planner.start()

    def _server(self, sock: socket.socket, *, tls: Callable[[], ssl.SSLContext]) -> ConfigServer:
        applied = self.metrics.apply_seconds.observe
        return ConfigServer(sock, tls=tls, identify=self.identify, fleet=self.streams, applied=applied)

    # --- who tells whom ---

    def _leads(self) -> bool:
        return self.leader is None or self.leader.is_leading

    def _written(self, pool: SpeechPool) -> None:
        self.ledger.written(pool)

    def _planned(self, made: Plan) -> None:
        for note in self.teller.notes(self.fleet, made):
            self.recorder.record(note)

    def _appeared(self, pod: Pod) -> None:
        note = injection(pod, pod.not_injected, pod.injection_warnings)
        if note and self._leads():
            self.recorder.record(note)

    # --- whom sidecars trust ---

    async def _look_at_namespaces(self) -> NoReturn:
        while True:
            if self._leads():
                self.publisher.want({self.fleet.operator_namespace, *self.fleet.namespaces})
            await asyncio.sleep(NAMESPACES_SECONDS)

    def _authority(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            return self._options.tls_ca_file.read_text(encoding="ascii")
        return ""

    # --- what is told ---

    @contextlib.asynccontextmanager
    async def _telemetry(self) -> AsyncIterator[None]:
        address = self._options.telemetry_address
        if address is None:
            yield
            return
        async with telemetry(address, self._health(), metrics=self.metrics.text, sidecars=self._overview) as bound:
            logger.info("listening", extra={"setting": "telemetry_address", "address": bound})
            yield

    def _health(self) -> Health:
        have, want = self.pods.watches
        return Health(
            watches={
                "speechpools": (self.ledger.watch, SILENT_SECONDS),
                "speechpools_by_kopf": (self.kopf, LAG_SECONDS),
                "pods_with_a_sidecar": (have, SILENT_SECONDS),
                "pods_that_ask_for_one": (want, SILENT_SECONDS),
            },
            is_known=lambda: self.fleet.pools_known and self.fleet.pods_known,
            leads=self._leads,
            is_serving=lambda: self.serving.server is not None,
            is_stopping=lambda: self._signals.is_stopping,
        )

    def _measured(self) -> Parts:
        return Parts(
            fleet=self.fleet,
            server=lambda: self.serving.server,
            watches={name: watch for name, (watch, _) in self._health().watches.items()},
            writer=self.writer,
            recorder=self.recorder,
            is_leading=self._leads,
            not_after=lambda: self.serving.not_after,
        )

    def _overview(self) -> Iterator[str]:
        return overview(self.fleet, leads=self._leads())


def _leader(options: Options, client: KubeClient, namespace: str) -> Leader | None:
    if not options.lease_name:
        return None
    # a container that is started again in its pod has its Lease at once, as no other pod has its name
    return Leader(client, namespace=namespace, name=options.lease_name, identity=options.pod_name)
