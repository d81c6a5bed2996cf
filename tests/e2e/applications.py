"""Applications in pods of the node: what they say to their sidecar, and what happens to its container."""

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.cluster.apiserver import PATIENCE_SECONDS
from tests.cluster.node import Node
from tests.e2e.releases import deployment

__all__ = [
    "CALLING",
    "LISTENING",
    "POOLS",
    "SIDECAR",
    "STAYING",
    "HeldCall",
    "Lines",
    "application",
    "events_of",
    "followed",
    "held_call",
    "is_ready",
    "json_lines",
    "kill_sidecar",
    "said",
    "sidecar_of",
    "speechpool_object",
    "start_pod",
    "touch",
    "written_at",
]

POOLS = "/apis/speechpool.dev/v1alpha1/namespaces/{}/speechpools"
SIDECAR = "speechpool"

STAYING = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
"""
"""Does nothing, until it is told to end."""

_HTTP = """
import http.client, json, os, signal, socket, sys, time
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["SPEECHPOOL_SOCKET"])
def speak(text, **fields):
    connection = Unix("speechpool", timeout=30)
    connection.request("POST", "/v1/audio/speech", json.dumps({"input": text, "response_format": "pcm"} | fields))
    return connection.getresponse()
"""

CALLING = f"""{_HTTP}
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    try:
        reply = speak("Good morning.", session_id="talk")
        print(reply.status, reply.headers.get("x-speechpool-tier"), len(reply.read()), flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(type(error).__name__, flush=True)
    time.sleep(0.1)
"""
"""Speaks all the time, in one session, with a line for each call: status, tier and bytes, or the error."""

LISTENING = f"""{_HTTP}
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
reply = speak("She sells sea shells by the sea shore. " * 30)
print(reply.headers.get("x-speechpool-tier"), len(reply.read(4096)), flush=True)
signal.sigwait([signal.SIGTERM])
print("ending", flush=True)
while reply.read(1 << 18):
    time.sleep(0.4)
print("whole", flush=True)
"""
"""Is in the midst of an utterance until it is told to end; then hears the rest of it, which takes some seconds."""

_HOLDING = f"""{_HTTP}
reply = speak("She sells sea shells by the sea shore. " * 100)
print(reply.status, len(reply.read(4096)), flush=True)
sys.stdin.readline()
try:
    print("whole", len(reply.read()), flush=True)
except (OSError, http.client.HTTPException) as error:
    print("cut", type(error).__name__, flush=True)
"""


def application(
    name: str,
    annotations: Mapping[str, str] | None = None,
    program: str = STAYING,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A pod of its own that asks for a sidecar, of the restricted profile; `program` is its Python."""
    template = deployment(name, labels=labels, program=program, **spec)["spec"]["template"]
    template["metadata"] |= {"name": name, "annotations": dict(annotations or {})}
    return {"apiVersion": "v1", "kind": "Pod", **template}


def start_pod(node: Node, namespace: str, pod: Mapping[str, Any]) -> None:
    """Make a pod."""
    node.post(f"/api/v1/namespaces/{namespace}/pods", dict(pod))


def speechpool_object(name: str, **spec: Any) -> dict[str, Any]:
    """A SpeechPool for the pods with the label `app: <name>`."""
    selected = {"selector": {"matchLabels": {"app": name}}}
    return {
        "apiVersion": "speechpool.dev/v1alpha1",
        "kind": "SpeechPool",
        "metadata": {"name": name},
        "spec": selected | spec,
    }


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready and its sidecar, if it has one, has started; for a moment the former is true alone."""
    conditions = pod.get("status", {}).get("conditions", ())
    has_started = sidecar_of(pod).get("started", True)
    return has_started and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def sidecar_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The status of a pod's sidecar; empty before there is one."""
    found = pod.get("status", {}).get("initContainerStatuses", ())
    return next((each for each in found if each["name"] == SIDECAR), {})


def said(node: Node, namespace: str, pod: str) -> subprocess.CompletedProcess[str]:
    """Let the application speak once: its stderr begins with the tier, or has the error."""
    return node.execute(namespace, pod, "app", "speechpool", "say", "Good morning.", "-o", "/tmp/said.wav")


def events_of(node: Node, namespace: str, name: str, reason: str) -> list[dict[str, Any]]:
    """The events of an object with this reason."""
    selector = f"involvedObject.name={name},reason={reason}"
    found: list[dict[str, Any]] = node.get(f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}")["items"]
    return found


def touch(node: Node, namespace: str, pod: str) -> None:
    """Change a pod, so that the kubelet looks at it and brings it new Secrets and ConfigMaps; else it takes 90 s."""
    change = {"metadata": {"annotations": {"example.org/touched": str(time.time_ns())}}}
    node.patch(f"/api/v1/namespaces/{namespace}/pods/{pod}", change)


def kill_sidecar(node: Node, namespace: str, pod: str) -> None:
    """Kill the sidecar's first process as the kernel does when memory runs out: no signal from within reaches it."""
    container = sidecar_of(node.get(f"/api/v1/namespaces/{namespace}/pods/{pod}"))["containerID"]
    identity = container.partition("://")[2]
    node.inside.run("ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", identity)


class Lines:
    """What a process prints, line by line.

    Args:
        process: That prints.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self) -> Sequence[str]:
        """The words of its next line; after the last one "ended" and its exit code."""
        return self._lines.get(timeout=PATIENCE_SECONDS).split()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(f"ended {self._process.wait()}")


class HeldCall(Lines):
    """A call of which the application has heard the beginning, and reads on only when it is let.

    Its lines: status and bytes at first, then how it ended and the bytes or the error.
    """

    def go_on(self) -> Sequence[str]:
        """Let it read to the end; how that was."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.line()


@contextlib.contextmanager
def held_call(node: Node, namespace: str, pod: str) -> Iterator[HeldCall]:
    """A call in a pod's application that has begun."""
    words = ["exec", "--stdin", "--namespace", namespace, pod, "--container", "app", "--", "python", "-c", _HOLDING]
    process = subprocess.Popen(
        node.kubectl_words(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    with process:
        call = HeldCall(process)
        try:
            status, heard = call.line()
            assert (status, int(heard) > 0) == ("200", True)
            yield call
        finally:
            process.kill()


@contextlib.contextmanager
def followed(node: Node, namespace: str, pod: str, container: str) -> Iterator[Lines]:
    """A container's log, as it is written."""
    words = ["logs", "--follow", "--namespace", namespace, pod, "--container", container]
    with subprocess.Popen(node.kubectl_words(*words), stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield Lines(process)
        finally:
            process.kill()


def json_lines(text: str) -> list[dict[str, Any]]:
    """A log's lines."""
    return [json.loads(line) for line in text.splitlines()]


def written_at(line: Mapping[str, Any]) -> float:
    """When a line of a log was written, in seconds since 1970."""
    return datetime.fromisoformat(line["time"]).timestamp()
