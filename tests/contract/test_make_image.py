"""`make image`: which tool it takes, what it says to it, and what it says to the user when none works."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("git", "sed")
"""What the target runs beside a tool: nothing else is found, so that this machine's tools play no part."""
ADDRESS = "https://example.org/speechpool.git"


class Machine:
    """A clone on a machine that has some of the tools, each of which notes its words.

    Args:
        directory: An empty one.
    """

    def __init__(self, directory: Path) -> None:
        self._programs = directory / "bin"
        self._programs.mkdir()
        for name in PROGRAMS:
            (self._programs / name).symlink_to(shutil.which(name))
        self._noted = directory / "noted"
        self.clone = directory / "clone"
        self.clone.mkdir()
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, self.clone)

    def has(self, tool: str, *, refuses: str = "") -> None:
        """Put a tool there, which fails where its words begin with `refuses`."""
        lines = [
            "#!/bin/sh",
            f'case "$*" in "{refuses or "nothing"}"*) echo "{tool} refuses" >&2; exit 1;; esac',
            'case "$*" in info|"build --help") exit;; esac',
            f'{{ echo {tool} "$DOCKER_BUILDKIT"; for word; do echo "$word"; done; echo; }} >> {self._noted}',
        ]
        (self._programs / tool).write_text("\n".join(lines) + "\n")
        (self._programs / tool).chmod(0o755)

    def git(self, *words: str) -> str:
        words = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *words)
        return subprocess.run(words, cwd=self.clone, capture_output=True, text=True, check=True).stdout.strip()

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which("make"), "image", *words],
            cwd=self.clone,
            env={"PATH": str(self._programs), "GIT_CEILING_DIRECTORIES": str(self.clone.parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def builds(self) -> list[list[str]]:
        """Of each build, the tool with its BuildKit setting, and its words."""
        return [build.splitlines() for build in self._noted.read_text().split("\n\n") if build]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def labels(build: list[str]) -> dict[str, str]:
    said = [word.partition("=") for flag, word in itertools.pairwise(build) if flag == "--label"]
    return {name.removeprefix("org.opencontainers.image."): value for name, _, value in said}


class TestTool:
    @pytest.mark.parametrize(
        ("tools", "taken"),
        [
            (("buildah",), "buildah"),
            (("buildah", "podman"), "podman"),
            (("buildah", "podman", "docker"), "docker"),
        ],
    )
    def test_docker_comes_first_then_podman(self, machine: Machine, tools: tuple[str, ...], taken: str) -> None:
        for tool in tools:
            machine.has(tool)
        done = machine.make("TARGETS=operator", "TAG=1")

        assert done.stdout == f"building speechpool/operator:1 by {taken}\n"
        [[tool, command, *words]] = machine.builds()
        assert tool == f"{taken} 1"
        assert [command, *words[:4]] == ["build", "--target", "operator", "--tag", "speechpool/operator:1"]
        assert words[-1] == "."

    @pytest.mark.parametrize("refuses", ["info", "build --help"])
    def test_a_tool_without_its_service_or_without_buildkit_is_passed_over(
        self, machine: Machine, refuses: str
    ) -> None:
        machine.has("docker", refuses=refuses)
        machine.has("buildah")

        assert machine.make("TARGETS=operator").returncode == 0
        assert machine.builds()[0][0] == "buildah 1"

    def test_the_user_may_choose(self, machine: Machine) -> None:
        machine.has("docker")
        machine.has("podman")

        assert machine.make("BUILDER=podman", "TARGETS=operator").returncode == 0
        assert machine.builds()[0][0] == "podman 1"

    def test_the_choice_may_be_a_plugin(self, machine: Machine) -> None:
        machine.has("docker")

        assert machine.make("BUILDER=docker buildx", "TARGETS=operator").returncode == 0
        assert machine.builds()[0][1:3] == ["buildx", "build"]

    def test_where_none_works_it_says_of_each_why(self, machine: Machine) -> None:
        machine.has("docker", refuses="info")
        done = machine.make()

        assert done.returncode
        said = done.stdout.splitlines()
        assert said[0].startswith("make image needs docker with BuildKit, podman or buildah")
        assert said[1] == "docker: docker refuses"
        assert "podman: not found" in said[2]
        assert "buildah: not found" in said[3]

    def test_the_first_image_that_fails_is_the_last(self, machine: Machine) -> None:
        machine.has("podman", refuses="build --target operator")
        done = machine.make("TARGETS=sidecar operator azure-emulator")

        assert done.returncode
        assert [build[3] for build in machine.builds()] == ["sidecar"]


class TestWords:
    def test_bases_registry_and_index_are_passed_on(self, machine: Machine) -> None:
        machine.has("podman")
        where = (
            "BASE=example.org/base@sha256:12",
            "BUILD_BASE=example.org/base-dev",
            "PIP_INDEX_URL=https://u:p@i.example",
        )
        done = machine.make("TARGETS=operator", "TAG=1", "REGISTRY=example.org/", "IMAGE_FLAGS=--pull", *where)

        [build] = machine.builds()
        assert "example.org/speechpool/operator:1" in build
        assert {"BASE=example.org/base@sha256:12", "BUILD_BASE=example.org/base-dev", "--pull"} <= set(build)
        # by name alone: a list of processes shows words
        assert build[build.index("PIP_INDEX_URL") - 1] == "--build-arg"
        assert "u:p" not in done.stdout + done.stderr

    def test_certificates_are_a_secret_and_must_be_there(self, machine: Machine) -> None:
        machine.has("podman")
        done = machine.make("CA=missing.pem")
        assert done.returncode
        assert done.stdout == "CA=missing.pem is no file that can be read\n"

        assert machine.make("CA=Makefile", "TARGETS=operator").returncode == 0
        [build] = machine.builds()
        assert build[build.index("--secret") + 1] == "id=ca,src=Makefile"

    def test_labels_say_version_revision_and_source(self, machine: Machine) -> None:
        """Without the password of the clone's address, and never a commit that is not what was built."""
        machine.has("podman")
        machine.git("init", "--quiet")
        machine.git("remote", "add", "origin", ADDRESS.replace("//", "//user:secret@"))
        machine.git("add", ".")
        machine.git("commit", "--quiet", "--message", "all")
        commit = machine.git("rev-parse", "HEAD")

        machine.make("TARGETS=operator", "TAG=mine")
        (machine.clone / "pyproject.toml").write_text('version = "7.8.9"\n')
        machine.make("TARGETS=operator", "TAG=mine")

        first, second = map(labels, machine.builds())
        version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
        assert first == {"version": version, "revision": commit, "source": ADDRESS}
        assert second == {"version": "7.8.9", "revision": f"{commit}-dirty", "source": ADDRESS}

    def test_without_a_repository_no_label_is_empty(self, machine: Machine) -> None:
        machine.has("podman")
        machine.make("TARGETS=operator")
        assert list(labels(machine.builds()[0])) == ["version"]

    @pytest.mark.parametrize(
        ("extras", "licences"),
        [
            ("sidecar", "Apache-2.0 AND LGPL-2.1-or-later"),
            ("sidecar codecs", "Apache-2.0 AND LGPL-2.1-or-later AND GPL-3.0-or-later"),
            (
                "sidecar azure",
                "Apache-2.0 AND LGPL-2.1-or-later AND MPL-2.0 AND LicenseRef-Microsoft-Cognitive-Services-Speech-SDK",
            ),
        ],
    )
    def test_the_licences_are_those_of_the_extras(self, machine: Machine, extras: str, licences: str) -> None:
        machine.has("podman")
        machine.make("TARGETS=sidecar", f"EXTRAS={extras}")
        assert {f"EXTRAS={extras}", f"LICENSES={licences}"} <= set(machine.builds()[0])

    def test_the_dockerfiles_own_licences_are_those_of_its_own_extras(self, machine: Machine) -> None:
        machine.has("podman")
        own = dict(re.findall(r'^ARG (EXTRAS|LICENSES)="(.+)"$', (ROOT / "Dockerfile").read_text(), re.MULTILINE))
        machine.make("TARGETS=sidecar", f"EXTRAS={own['EXTRAS']}")
        assert f"LICENSES={own['LICENSES']}" in machine.builds()[0]
