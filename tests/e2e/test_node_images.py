"""The images, each in a pod as strict as a cluster can be: any user, nothing to write to but a socket's volume."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename
from tests.cluster.images import image
from tests.cluster.node import Node

ROOT = Path(__file__).parents[2]
ANY_USER = 1_000_650_000  # such as OpenShift gives: nobody in the image knows it

SPEAK = """
import subprocess, sys
sidecar = subprocess.Popen(["speechpool", "serve"])
subprocess.run(["speechpool", "wait", "--quiet", "--timeout", "60"], check=True)
for file in ("hello.wav", "hello.mp3"):
    subprocess.run(["speechpool", "say", "Good morning.", "-o", f"/run/speechpool/{file}"], check=True)
subprocess.run(["speechpool", "transcribe", "/run/speechpool/hello.wav"], check=True)
sidecar.terminate()
sys.exit(sidecar.wait(30))
"""

AZURE = """
import azure.cognitiveservices.speech as sdk
config = sdk.SpeechConfig(host="ws://EMULATOR:7070", subscription="any")
config.set_speech_synthesis_output_format(sdk.SpeechSynthesisOutputFormat.Raw24Khz16BitMonoPcm)
result = sdk.SpeechSynthesizer(config, audio_config=None).speak_text_async("Good morning.").get()
print(result.reason.name, len(result.audio_data))
"""

LOOK = """
import asyncio, pathlib, sys
import speechpool, speechpool_azure_emulator, speechpool_operator.names
files = {name: getattr(module, "__cached__", None) for name, module in sys.modules.items()}
print([name for name, file in files.items() if file and not pathlib.Path(file).exists()])
print([name for name in ("/tools", "/src", "/wheel", "/locked", "/product", "/rootfs") if pathlib.Path(name).exists()])
"""


@pytest.fixture(scope="module")
def namespace(node: Node):
    made = node.namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"})
    yield made
    node.delete(f"/api/v1/namespaces/{made}")


def run(node: Node, namespace: str, name: str, target: str, **container: object) -> str:
    """Run a pod to its end; returns what it printed."""
    start(node, namespace, name, target, **container)
    ended = ("Succeeded", "Failed")
    node.wait_for_pod(namespace, name, lambda pod: pod["status"].get("phase") in ended, "does not end")
    pod = node.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
    printed = node.logs(namespace, name, "app")
    assert pod["status"]["phase"] == "Succeeded", printed
    return printed


def start(node: Node, namespace: str, name: str, target: str, **container: object) -> None:
    strict = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    app = {"name": "app", "image": image(target), "securityContext": strict, **container}
    app["volumeMounts"] = [{"name": "socket", "mountPath": "/run/speechpool"}]
    user = {"runAsNonRoot": True, "runAsUser": ANY_USER, "seccompProfile": {"type": "RuntimeDefault"}}
    if target == "azure-emulator":
        del user["runAsUser"]
    spec = {
        "restartPolicy": "Never",
        "securityContext": user,
        "automountServiceAccountToken": False,
        "containers": [app],
        "volumes": [{"name": "socket", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}],
    }
    node.post(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": spec})


def test_the_sidecar_says_what_it_is_made_of(node: Node, namespace: str):
    said = run(node, namespace, "sidecar-version", "sidecar", args=["version"])
    assert "engines: azure, local" in said
    assert "not installed" not in said


def test_the_sidecar_speaks_and_listens_for_any_user_without_a_file_system_to_write_to(node: Node, namespace: str):
    run(node, namespace, "sidecar-speaks", "sidecar", command=["python", "-c", SPEAK])


def test_the_operator_says_its_version(node: Node, namespace: str):
    said = run(node, namespace, "operator-version", "operator", args=["version"])
    assert said.startswith("speechpool-operator ")
    assert "not installed" not in said


def test_azures_sdk_speaks_with_the_emulator_in_a_pod(node: Node, namespace: str):
    start(node, namespace, "emulator", "azure-emulator")
    node.wait_for_pod(namespace, "emulator", is_listening(node, namespace), "does not listen")
    address = node.get(f"/api/v1/namespaces/{namespace}/pods/emulator")["status"]["podIP"]
    said = run(node, namespace, "sdk", "sidecar", command=["python", "-c", AZURE.replace("EMULATOR", address)])
    assert re.fullmatch(r"SynthesizingAudioCompleted [1-9]\d+\n", said)
    counts = node.get(f"/api/v1/namespaces/{namespace}/pods/emulator:7070/proxy/emulator/counts")
    assert counts["upgrades"] == 1


def is_listening(node: Node, namespace: str):
    return lambda pod: "listening at" in node.logs(namespace, pod["metadata"]["name"], "app")


@pytest.mark.parametrize("target", ["sidecar", "operator", "azure-emulator"])
def test_every_module_has_its_bytecode_and_nothing_of_the_build_is_left(node: Node, namespace: str, target: str):
    """A read-only root file system can keep none, so each process would compile again what it imports."""
    said = run(node, namespace, f"look-{target}", target, command=["python", "-c", LOOK])
    assert said == "[]\n[]\n"


@pytest.mark.parametrize("extras", ["sidecar local codecs azure", "operator", "azure-emulator local"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_locked_package_has_a_wheel_for_the_default_base(extras: str, machine: str):
    """On amd64 and on arm64: there is no compiler in an image."""
    words = [
        "export",
        "--quiet",
        "--frozen",
        "--no-default-groups",
        "--no-emit-project",
        "--no-hashes",
        "--no-annotate",
    ]
    words += [word for extra in extras.split() for word in ("--extra", extra)]
    done = subprocess.run([sys.executable, "-m", "uv", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [Requirement(line) for line in done.stdout.splitlines() if line and not line.startswith("#")]
    major, minor = re.search(r"python:(\d+)\.(\d+)-slim", (ROOT / "Dockerfile").read_text("utf-8")).groups()
    version = f"{major}.{minor}"
    base = default_environment() | {"python_version": version, "python_full_version": f"{version}.0"}
    base |= {"platform_machine": machine, "sys_platform": "linux"}
    needed = [line for line in lines if not line.marker or line.marker.evaluate(base)]
    assert len(needed) > 5
    wheels = locked_wheels()
    fitting = frozenset(tags_of_the_base(int(major), int(minor), machine))
    assert [line for line in needed if not any(tags & fitting for tags in wheels[identity(line)])] == []


def locked_wheels() -> dict[tuple[str, str], list[frozenset[Tag]]]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    return {
        (each["name"], each.get("version", "")): [
            parse_wheel_filename(unquote(wheel["url"].rpartition("/")[2]))[3] for wheel in each.get("wheels", ())
        ]
        for each in packages
    }


def identity(line: Requirement) -> tuple[str, str]:
    return line.name, str(line.specifier).removeprefix("==")


def tags_of_the_base(major: int, minor: int, machine: str):
    # Debian 12 has glibc 2.36
    platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in range(17, 37)]
    platforms += [f"manylinux2014_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]
    yield from cpython_tags((major, minor), platforms=platforms)
    yield from compatible_tags((major, minor), f"cp{major}{minor}", platforms)
