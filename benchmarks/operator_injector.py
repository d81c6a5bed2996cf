"""How long does the API server wait for the injector? Its process over TLS, beside a bare server of the same library.

`python benchmarks/operator_injector.py [--quick]`
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import report
import trustme

NOTE = """Milliseconds from the question to the answer, over one TLS connection that is kept, as the API server's, one
question after the other ({rounds} of each); both servers take turns. The bare one reads the same body and answers two
words. Bytes are those of the question."""

BARE = """
import ssl, sys
from aiohttp import web
async def answer(request):
    await request.read()
    return web.Response(body=b"ok")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
application = web.Application(client_max_size=1 << 23)
application.router.add_post("/inject/pod", answer)
web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), ssl_context=context, access_log=None, print=None)
"""


def pod(containers: int, variables: int) -> dict[str, Any]:
    """A pod that asks for a sidecar, as large as it is told."""
    env = [{"name": f"VARIABLE_{number}", "value": "x" * 40} for number in range(variables)]
    own = [{"name": f"app-{number}", "image": "registry.example.org/app:1", "env": env} for number in range(containers)]
    metadata = {"labels": {"speechpool.dev/inject": "true"}, "annotations": {"speechpool.dev/cpu-request": "200m"}}
    return {"metadata": metadata, "spec": {"containers": own}}


PODS = {
    "1 container": pod(1, 5),
    "5 containers, 40 variables each": pod(5, 40),
    "100 containers, 40 variables each": pod(100, 40),
}


def question(manifest: dict[str, Any]) -> bytes:
    request = {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "object": manifest}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(body).encode()


@contextlib.contextmanager
def servers(directory: Path) -> Iterator[tuple[ssl.SSLContext, dict[str, int]]]:
    """Both, answering: what to trust, and their ports."""
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    files = [str(directory / name) for name in ("tls.crt", "tls.key", "ca.crt", "config.yaml")]
    made.cert_chain_pems[0].write_to_path(files[0])
    made.private_key_pem.write_to_path(files[1])
    authority.cert_pem.write_to_path(files[2])
    Path(files[3]).write_text("image: speechpool/sidecar:1\noperator: operator:8443\n")
    ports = {"injector": free_port(), "bare aiohttp": free_port()}
    names = ("TLS_CERT_FILE", "TLS_KEY_FILE", "CA_FILE", "CONFIG")
    settings = {f"SPEECHPOOL_INJECTOR_{name}": file for name, file in zip(names, files, strict=True)} | {
        "SPEECHPOOL_INJECTOR_CERTIFICATES": "files",
        "SPEECHPOOL_INJECTOR_LISTEN": f"127.0.0.1:{ports['injector']}",
        "SPEECHPOOL_INJECTOR_TELEMETRY_ADDRESS": f"127.0.0.1:{free_port()}",
        "SPEECHPOOL_INJECTOR_LOG_LEVEL": "warning",
    }
    words = [
        [sys.executable, "-m", "speechpool_operator", "injector"],
        [sys.executable, "-c", BARE, str(ports["bare aiohttp"]), *files[:2]],
    ]
    processes = [subprocess.Popen(each, env=os.environ | settings) for each in words]
    context = ssl.create_default_context(cafile=files[2])
    try:
        for port in ports.values():
            answering(port)
        yield context, ports
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


def answering(port: int) -> None:
    """Wait until somebody listens."""
    give_up_at = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        assert time.monotonic() < give_up_at, "nobody listens"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def timed(session: aiohttp.ClientSession, port: int, body: bytes) -> float:
    """The milliseconds of one question."""
    started = time.perf_counter()
    async with session.post(f"https://localhost:{port}/inject/pod", data=body) as reply:
        await reply.read()
        assert reply.status == 200
    return (time.perf_counter() - started) * 1000


async def measure(context: ssl.SSLContext, ports: dict[str, int], rounds: int) -> list[dict[str, object]]:
    """One row for each kind of pod and server."""
    rows: list[dict[str, object]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=2)) as session:
        for name, manifest in PODS.items():
            rows += await one_kind(session, ports, name, question(manifest), rounds)
    return rows


async def one_kind(
    session: aiohttp.ClientSession, ports: dict[str, int], name: str, body: bytes, rounds: int
) -> list[dict[str, object]]:
    spent: dict[str, list[float]] = {server: [] for server in ports}
    for turn in range(rounds + 20):
        for server, port in ports.items():
            took = await timed(session, port, body)
            if turn >= 20:  # connections are open, and code is warm
                spent[server].append(took)
    return [
        {
            "pod": name,
            "bytes": len(body),
            "server": server,
            "p50 ms": statistics.median(values),
            "p99 ms": sorted(values)[int(len(values) * 0.99)],
        }
        for server, values in spent.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args(arguments).quick
    rounds = 200 if quick else 2000
    with tempfile.TemporaryDirectory() as directory, servers(Path(directory)) as (context, ports):
        rows = asyncio.run(measure(context, ports, rounds))
    usual = next(row for row in rows if row["pod"] == "5 containers, 40 variables each")
    report.save(
        "62-operator-injector",
        rows,
        title="Injector: one admission",
        note=NOTE.format(rounds=rounds),
        targets=(report.at_most("injector: one admission, p99", float(str(usual["p99 ms"])), 10.0, " ms"),),
        quick=quick,
    )
    print(report.text("62-operator-injector"))


if __name__ == "__main__":
    main()
