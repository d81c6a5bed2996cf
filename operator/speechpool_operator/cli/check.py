"""`speechpool-operator check`."""

import argparse
import asyncio
import os
from datetime import UTC, datetime

from speechpool.settings import Address
from speechpool_operator.check_facts import Facts, Target, gather
from speechpool_operator.check_judging import judge
from speechpool_operator.commands.verdicts import tell
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_access import Access, access
from speechpool_operator.options import Options, add_arguments, read_options

__all__ = ["configure", "run"]

DESCRIPTION = """\
Tell whether this operator has what it needs, one line a check, and what to do where it has not: the API server, its
rights (and that it may read no Secret), its certificate, its Lease, its Service, and the SpeechPools.

It takes the flags and the environment of `run`, so in the operator's pod it needs none. Nothing is changed.
`speechpool check` looks at the whole installation, with the rights of whoever calls it."""

EPILOG = """\
examples:
  kubectl -n speechpool-system exec deploy/speechpool-operator -- speechpool-operator check
  speechpool-operator check --namespace speechpool-system --tls-cert-file tls.crt --tls-key-file tls.key

exit codes:
  0  nothing failed (there may be something to look at)     1  a check failed     2  the command line is wrong"""

SERVICE = "speechpool-operator"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("--service", default=SERVICE, metavar="NAME", help=f"that sidecars dial (default: {SERVICE})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check; returns the exit code.

    Raises:
        SettingsError: A setting is wrong, or there is no way to the API server.
    """
    options = read_options(args)
    way = access(options.kubeconfig or None)
    facts = asyncio.run(_gather(way, _target(options, way, args.service)))
    return tell(judge(facts, datetime.now(UTC)), as_json=args.json)


async def _gather(way: Access, target: Target) -> Facts:
    async with KubeClient(way) as client:
        return await gather(client, target)


def _target(options: Options, way: Access, service: str) -> Target:
    namespace = options.namespace or way.namespace
    host = f"{service}.{namespace}.svc"
    is_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    return Target(
        namespace=namespace,
        served=options.watch_namespace,
        lease=options.lease_name,
        authority_map=options.ca_configmap_name,
        host=host,
        certificate=options.tls_cert_file,
        key=options.tls_key_file,
        authority=options.tls_ca_file,
        dial=Address(host, options.listen.port) if is_pod else None,
    )
