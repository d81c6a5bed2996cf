"""`speechpool-operator run`."""

import argparse
import asyncio
import gc
import logging
from typing import Final

from speechpool_operator import logs, program
from speechpool_operator.kube_access import access
from speechpool_operator.options import add_arguments, read_options, unknown_variables

__all__ = ["configure", "run"]

logger = logging.getLogger(__name__)

YOUNG_OBJECTS: Final = 20_000
"""New objects between two looks for garbage cycles. A stream is some hundred objects that stay: at Python's 700 the
looks took a fifth of the time in which 10,000 sidecars connect, and a tenth of each push to them."""

DESCRIPTION = """\
Run the operator, in a cluster or beside one: it needs a way to the API server (in a pod its ServiceAccount, elsewhere a
kubeconfig), a certificate for the name that sidecars dial, and nothing else. It stores nothing but the status of
SpeechPools, so it may be stopped, killed and started anywhere at any time: sidecars go on with what they have.

Each flag may be given as the environment variable that is named with it; the flag is stronger."""

EPILOG = """\
examples:
  speechpool-operator run --tls-cert-file tls.crt --tls-key-file tls.key
  speechpool-operator run --kubeconfig ~/.kube/config --watch-namespace calls --telemetry-address 127.0.0.1:8080
  curl http://localhost:8080/readyz

SIGTERM ends it in order: each sidecar is told to come back in a moment. A second one ends it at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the operator; returns its exit code.

    Raises:
        SettingsError: A setting is wrong, or there is no way to the API server.
    """
    options = read_options(args)
    logs.configure_logging(options.log_level, options.log_format)
    for name in unknown_variables():
        logger.warning("variable is no setting", extra={"variable": name})
    way = access(options.kubeconfig or None)
    _collect_less()
    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(program.run(options, way))


def _collect_less() -> None:
    gc.freeze()  # what is imported stays
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _loop() -> asyncio.AbstractEventLoop:
    # asyncio's own keeps 256 KiB for each TLS connection: 356 MB for 1,000 sidecars, where uvloop takes 99
    try:
        import uvloop  # noqa: PLC0415 -- there is none for every platform
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
