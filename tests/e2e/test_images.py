"""The images as files: what they say of themselves, what is in them, and that podman makes the same ones."""

import os
import shutil
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.images import BASE, SOURCE, STRAY, TARGETS, Builder, image, image_tag, sources
from tests.cluster.node import missing_for_a_node
from tests.cluster.packages import DEBIAN_PACKAGES

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)  # the first one waits for the images
BY_PODMAN = "by-podman"
LABEL = "org.opencontainers.image."
STRICT = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--user=12345",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)
WITHIN_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--network=none")
"""Podman's own limits are higher than a machine's that may not raise them."""


def missing() -> str:
    if reason := missing_for_a_node():
        return reason
    return "" if shutil.which("podman") else f"missing: podman; apt-get install {' '.join(DEBIAN_PACKAGES)}"


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    if reason := missing():
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    with Builder.locked() as made:
        made.make_base()
        made.make_images()
        yield made


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def files(builder: Builder, target: str) -> Iterator[Path]:
    with builder.files(image(target)) as directory:
        yield directory


def test_labels_say_what_it_is_and_where_it_comes_from(builder: Builder, target: str):
    labels = builder.description(image(target))["config"]["Labels"]
    said = {name.removeprefix(LABEL): value for name, value in labels.items() if name.startswith(LABEL)}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert said.keys() == {"title", "description", "vendor", "licenses", "version", "revision", "source"}
    assert (said["version"], said["revision"], said["source"]) == (version, image_tag(), SOURCE)
    assert ("GPL" in said["licenses"]) == (target != "operator")
    assert ("Microsoft" in said["licenses"]) == (target == "sidecar")


def test_it_starts_a_program_as_a_user_who_is_not_root(builder: Builder, target: str):
    settings = builder.description(image(target))["config"]
    [program] = settings["Entrypoint"]
    assert program.startswith("/opt/speechpool/bin/speechpool")
    assert settings["User"] == "65532:65532"
    assert settings["StopSignal"] == "SIGTERM"


def test_nobody_may_write_but_where_the_socket_is(builder: Builder, files: Path):
    with builder.files(BASE) as base:
        assert open_to_all(files) - open_to_all(base) == {"run/speechpool"}
    assert stat.filemode((files / "run/speechpool").stat().st_mode) == "drwxrwxrwt"


def open_to_all(top: Path) -> set[str]:
    """What others may write to."""
    found = (Path(directory, name) for directory, *names in os.walk(top) for name in [*names[0], *names[1]])
    return {
        str(each.relative_to(top)) for each in found if not each.is_symlink() and each.stat().st_mode & stat.S_IWOTH
    }


def test_the_product_is_its_sources_and_nothing_that_lies_about_among_them(files: Path):
    [packages] = files.glob("opt/speechpool/lib/python*/site-packages")
    shipped = names_of_files(packages, *packages.glob("speechpool*/"))
    written = set().union(*(names_of_files(sources() / part, sources() / part) for part in ("sidecar", "operator")))
    assert {name for name in shipped if ".dist-info/" not in name} == written - {
        each.partition("/")[2] for each in STRAY
    }


def names_of_files(above: Path, *tops: Path) -> set[str]:
    found = (each for top in tops for each in top.rglob("*") if each.is_file() and each.suffix != ".pyc")
    return {str(each.relative_to(above)) for each in found}


def test_it_runs_for_any_user_with_nothing_to_write_to_and_no_rights(builder: Builder, target: str):
    """By podman; test_node_images.py has them in pods."""
    words = "--help" if target == "azure-emulator" else "version"
    assert "speechpool" in builder.podman("run", "--rm", *STRICT, *WITHIN_LIMITS, image(target), words)


def test_podman_makes_the_same_layers_from_nothing(builder: Builder):
    """Layer by layer: so a registry keeps one of each, and an upgrade pulls what is new."""
    name = image("operator").replace(image_tag(), BY_PODMAN)
    before = set(builder.run("images", "--all", "--quiet", "--no-trunc").split())
    try:
        builder.make("podman", ["operator"], BY_PODMAN, flags="--no-cache --layers --quiet")
        layers = builder.description(name)["rootfs"]["diff_ids"]
        assert layers == builder.description(image("operator"))["rootfs"]["diff_ids"]
        assert len(layers) == 4
    finally:
        made = set(builder.run("images", "--all", "--quiet", "--no-trunc").split()) - before
        builder.run("rmi", "--force", *made)
