"""`speechpool-operator certificates`."""

import argparse
import asyncio

from speechpool_operator.injection import program
from speechpool_operator.injection.command import begun
from speechpool_operator.injection.options import CERTIFICATE_OPTIONS
from speechpool_operator.kube_access import access
from speechpool_operator.option_table import add_arguments

__all__ = ["configure", "run"]

DESCRIPTION = """\
Make and renew the operator's certificate in one Secret, which the operator's pod mounts: for an installation without
the injector, which does so too. Each flag may be given as the environment variable that is named with it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = DESCRIPTION
    add_arguments(parser, CERTIFICATE_OPTIONS)


def run(args: argparse.Namespace) -> int:
    """Look after the certificates; returns the exit code.

    Raises:
        SettingsError: A setting is wrong, or there is no way to the API server.
    """
    options = begun(args, CERTIFICATE_OPTIONS)
    return asyncio.run(program.run_certificates(options, access(options.kubeconfig or None)))
