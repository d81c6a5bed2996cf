"""`speechpool-operator injector`."""

import argparse
import asyncio
import logging
import os
from collections.abc import Sequence

from speechpool_operator.injection import program
from speechpool_operator.injection.options import INJECTOR_OPTIONS, Options, read_options
from speechpool_operator.kube_access import access
from speechpool_operator.logs import configure_logging
from speechpool_operator.option_table import Option, add_arguments, unknown_variables

__all__ = ["begun", "configure", "run"]

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Answer the API server's admission webhook: bring a sidecar into each pod that asks for one by the label
speechpool.dev/inject: "true", or whose namespace does by speechpool.dev/inject: enabled.

It makes and renews its certificate and the operator's in one Secret, or takes what cert-manager has mounted. Several
may run beside each other. Each flag may be given as the environment variable that is named with it; the flag is
stronger."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = DESCRIPTION
    add_arguments(parser, INJECTOR_OPTIONS)


def run(args: argparse.Namespace) -> int:
    """Run the injector; returns its exit code.

    Raises:
        SettingsError: A setting is wrong, or there is no way to the API server.
    """
    options = begun(args, INJECTOR_OPTIONS)
    return asyncio.run(program.run(options, lambda: access(options.kubeconfig or None)))


def begun(args: argparse.Namespace, table: Sequence[Option]) -> Options:
    """Read the settings and begin to log, of variables that are none first.

    Args:
        args: The parsed command line.
        table: The settings that the command has.

    Raises:
        SettingsError: A setting is wrong.
    """
    options = read_options(args, table)
    configure_logging(options.log_level, options.log_format)
    for name in unknown_variables(table, os.environ):
        logger.warning("variable is no setting", extra={"variable": name})
    return options
