"""What is spared while a command is imported, and how it is afterwards."""

import gc
import ssl
import subprocess
import sys

import pytest

from speechpool.cli.imports import uncollected, without_certificates


def test_the_collector_is_as_before_whatever_happens() -> None:
    def fail() -> None:
        with uncollected():
            assert not gc.isenabled()
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert gc.isenabled()


def test_contexts_made_meanwhile_trust_nobody_and_later_ones_whom_the_system_trusts() -> None:
    trusted = ssl.create_default_context().cert_store_stats()
    with without_certificates():
        assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 0
    assert ssl.create_default_context().cert_store_stats() == trusted


PROGRAM = """
from speechpool.cli.imports import without_certificates
with without_certificates():
    import speechpool.cli.sidecar
import ssl
from aiohttp import connector
kept = [one for one in vars(connector).values() if isinstance(one, ssl.SSLContext)]
assert kept, "aiohttp makes no context any more: without_certificates has no use"
print(sum(one.cert_store_stats()["x509_ca"] for one in kept))
"""


def test_the_start_reads_none_of_the_system_s_certificates() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")
