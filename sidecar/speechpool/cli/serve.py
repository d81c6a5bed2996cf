"""`speechpool serve`: settle the settings and the log, then run the sidecar on an event loop."""

import argparse
import asyncio
import importlib
import logging
import os
from collections.abc import Callable

from speechpool.cli.imports import uncollected, without_certificates
from speechpool.cli.sparing_log import SparingHandler
from speechpool.config import load
from speechpool.config.flags import add_setting_flags, flag_layer
from speechpool.errors import SettingsError
from speechpool.settings.logs import configure_logging

__all__ = ["configure", "run"]

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Run the sidecar in the foreground: open the engine, make the pools warm, answer on a Unix socket.

Settings come from these places, a later one over an earlier one: the defaults, the environment, the file named by
--config or SPEECHPOOL_CONFIG (watched: what changes in it holds at once), and the flags below. `speechpool config`
shows what is in force and where each value came from. Without Azure credentials in the environment the offline
engine is used."""

EPILOG = """\
the file has the same names as GET /v1/config shows, for example:
  warmSize: 5
  pools:
    - {name: tts, kind: TextToSpeech}
    - {name: stt, kind: SpeechToText, warmSize: 2}

signals:
  SIGTERM, SIGINT  finish what is under way, at most shutdownTimeoutSeconds, remove the socket, exit code 0
  a second one     end at once
  SIGHUP           read the settings file again

exit codes:
  0  ended by a signal       1  the socket is in use, or a part of the sidecar broke
  2  a setting is wrong      143, 130  ended at once by a second SIGTERM, Ctrl-C"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting that has one."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.usage = "speechpool serve [--SETTING VALUE ...]"
    add_setting_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    store = load(os.environ, flag_layer(args))
    settings = store.current
    configure_logging(settings.log_level, settings.log_format, make_handler=SparingHandler)
    for warning in store.warnings:
        logger.warning("setting has no effect", extra={"detail": warning})
    loop_factory = _loop_factory(settings.event_loop)
    # not before: it brings aiohttp, and a wrong setting should be told at once
    with uncollected(), without_certificates():
        sidecar = importlib.import_module("speechpool.cli.sidecar")
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        code: int = runner.run(sidecar.run_sidecar(store))
    return code


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        if name == "uvloop":
            raise SettingsError(
                "eventLoop: uvloop is not installed: pip install uvloop, or set eventLoop to auto or asyncio"
            ) from None
        return asyncio.new_event_loop
    return factory
