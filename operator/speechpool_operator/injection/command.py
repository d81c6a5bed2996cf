"""`speechpool-operator injector`."""

import argparse
import asyncio

from speechpool_operator.injection import program
from speechpool_operator.injection.options import INJECTOR_OPTIONS, read_options
from speechpool_operator.kube_access import access
from speechpool_operator.logs import configure_logging
from speechpool_operator.option_table import add_arguments

__all__ = ["configure", "run"]

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
    options = read_options(args, INJECTOR_OPTIONS)
    configure_logging(options.log_level, options.log_format)
    return asyncio.run(program.run(options, lambda: access(options.kubeconfig or None)))
